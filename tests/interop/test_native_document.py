"""docs/native-api.md: the worked example of references, run as it stands."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from skytrail.client import ApiClient
from skytrail.testing.controller import running_controller

DOCUMENT = Path(__file__).parents[2] / "docs" / "native-api.md"
NAME = ["default-domain", "default-project", "shop"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_references_are_made_shared_found_and_hold_their_target(tmp_path):
    text = DOCUMENT.read_text()
    section = text[text.index("### References, worked through") : text.index("## Transactions")]
    made, shared, asked = re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    add, _, take = shared.partition("# now p1 and p2\n")
    with running_controller(tmp_path) as controller:
        # The document's own address, over the Unix socket this controller has.
        start = f"""
            curl() {{ command curl --unix-socket {controller.api_socket} "$@"; }}
            A=http://api/api/v1; J='content-type: application/json'
            N=default-domain:default-project
        """

        def run(block):
            done = subprocess.run(
                ["bash", "-euc", start + block], capture_output=True, text=True, check=True
            )
            return done.stdout

        def policies():
            with ApiClient(unix_socket=str(controller.api_socket)) as client:
                shop = client.read("virtual-network", client.name_to_id("virtual-network", NAME))
            return [each["to"][-1] for each in shop["network_policy_refs"]]

        run(made)
        assert policies() == ["p1"]
        run(add)
        assert sorted(policies()) == ["p1", "p2"]
        run(take)
        assert policies() == ["p1"]
        told = run(asked)
        assert '"count":1' in told
        assert '"status":409' in told
