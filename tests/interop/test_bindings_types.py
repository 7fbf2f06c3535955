"""Every type of the model survives each binding: read into its class, written again, the same."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from skytrail.model.catalog import CATALOG
from skytrail.model.objects import decode_object, encode_object

ROOT = Path(__file__).parents[2]
JAVA_QUICK = ("-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC")
"""The compiler runs once for a moment: to optimise itself costs three times what it saves."""
IDENTITY = {
    "uuid": "5f7c9d2a-1c2b-4d3e-8f90-a1b2c3d4e5f6",
    "fq_name": ["a", "b"],
    "parent_type": "project",
    "parent_uuid": "6f7c9d2a-1c2b-4d3e-8f90-a1b2c3d4e5f6",
}
GO_TEST = """package skytrail

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"testing"
)

var everyType = map[string]func() any{
%s}

func TestEveryTypeIsReadAndWrittenTheSame(t *testing.T) {
	file, err := os.Open(os.Getenv("EVERY_TYPE"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<24)
	count := 0
	for lines.Scan() {
		var line struct {
			Class  string
			Object json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		value := everyType[line.Class]()
		decoder := json.NewDecoder(bytes.NewReader(line.Object))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(value); err != nil {
			t.Fatalf("%%s: %%v", line.Class, err)
		}
		written, _ := json.Marshal(value)
		if !reflect.DeepEqual(plain(t, written), plain(t, line.Object)) {
			t.Errorf("%%s: %%s", line.Class, written)
		}
		count++
	}
	if count != len(everyType) {
		t.Errorf("%%d of %%d types", count, len(everyType))
	}
}

func plain(t *testing.T, text []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}
"""


def full_value(field):
    if field.is_compound:
        value = {name: full_value(each) for name, each in CATALOG.types[field.type].fields.items()}
    elif field.base == "string":
        value = field.enum[0] if field.enum else "text"
    elif field.base == "boolean":
        value = True
    elif field.type == "unsignedLong":
        value = 2**63 + 1
    else:
        value = 7 if field.maximum is None else field.maximum
    return [value] if field.is_list else value


def full_reference(reference):
    found = {"to": ["a", "b"], "uuid": IDENTITY["uuid"]}
    if reference.attr_type:
        fields = CATALOG.types[reference.attr_type].fields
        found["attr"] = {name: full_value(each) for name, each in fields.items()}
    return [found]


def full_object(entry):
    return {
        **IDENTITY,
        **{name: full_value(each) for name, each in entry.properties.items()},
        **{name: full_reference(each) for name, each in entry.references.items()},
    }


@pytest.fixture(scope="module")
def every_type(tmp_path_factory):
    """A file of one line per class, each with an object that has every member."""
    objects = {entry.class_name: full_object(entry) for entry in CATALOG.objects.values()}
    types = {
        name: {field: full_value(each) for field, each in entry.fields.items()}
        for name, entry in CATALOG.types.items()
    }
    path = tmp_path_factory.mktemp("types") / "every_type.jsonl"
    lines = [json.dumps({"class": n, "object": o}) for n, o in (objects | types).items()]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path, [*objects, *types]


@pytest.mark.parametrize("name", CATALOG.objects)
def test_python_struct_holds_every_member(name):
    wire = full_object(CATALOG.objects[name])

    # A value of a type without fields is no value.
    assert prunes_empty(encode_object(decode_object(name, wire))) == prunes_empty(wire)


def prunes_empty(value):
    if isinstance(value, dict):
        return {key: found for key, each in value.items() if (found := prunes_empty(each)) != {}}
    return [prunes_empty(each) for each in value] if isinstance(value, list) else value


@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("javac") is None, reason="javac is not installed")
def test_java_class_holds_every_member(every_type, tmp_path):
    path, names = every_type
    sources = [*(ROOT / "bindings" / "java").rglob("*.java")]

    run("javac", *JAVA_QUICK, "--release", "17", "-d", tmp_path, *sources)
    told = run("java", "-cp", tmp_path, "skytrail.client.EveryTypeTest", path)

    assert told == f"{len(names)} types hold\n"


@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("go") is None, reason="go is not installed")
def test_go_struct_holds_every_member(every_type, tmp_path):
    path, names = every_type
    package = shutil.copytree(ROOT / "bindings" / "go", tmp_path / "go")
    rows = "".join(f'\t"{name}": func() any {{ return &{name}{{}} }},\n' for name in names)
    (package / "every_type_test.go").write_text(GO_TEST % rows)
    folder = ROOT / "build" / "go"
    environment = {
        **os.environ,
        "EVERY_TYPE": str(path),
        "GOCACHE": str(folder / "cache"),
        "GOPATH": str(folder / "path"),
        "GOPROXY": "off",
    }

    run("go", "test", "-run", "TestEveryType", "./...", cwd=package, env=environment)


def run(*command, **options):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
