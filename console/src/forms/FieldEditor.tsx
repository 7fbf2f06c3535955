/** The editor of any value of the model: scalars, lists, structures in structures. */

import { DeleteOutlined, PlusOutlined } from "@ant-design/icons";
import { Button } from "antd";

import { isAdministrator } from "../api/session";
import { useConsole } from "../app/context";
import { midSentence, type ComplexType, type Field, fieldTitle, isForAdministrators } from "../model/catalog";
import { type Document, isDocument, isEmpty, isList, type Json, pointer } from "../model/document";
import { type EditorProps, noteOf, Row } from "./PropertyEditor";
import { ScalarEditor, ScalarListEditor } from "./ScalarEditor";

export function FieldEditor(props: EditorProps) {
  const { field } = props;
  if (field.base !== "compound") return field.list ? <ScalarListEditor {...props} /> : <ScalarEditor {...props} />;
  return field.list ? <CompoundList {...props} /> : <Compound {...props} />;
}

function useFields(typeName: string): Readonly<Record<string, Field>> {
  const { catalog } = useConsole();
  const found: ComplexType | undefined = catalog.types[typeName];
  return found?.fields ?? {};
}

function Compound(props: EditorProps) {
  const { name: own, field, value, path, onChange, disabled = false } = props;
  const fields = useFields(field.type);
  const held: Document = isDocument(value) ? value : {};
  const entries = Object.entries(fields);
  const [only] = entries;
  if (entries.length === 1 && only !== undefined && only[1].list) {
    const [name, inner] = only;
    const wrap = (next: Json | undefined) => onChange(isEmpty(next) ? undefined : { [name]: next });
    return <FieldEditor {...props} name={name} field={inner} value={held[name]} path={[...path, name]} onChange={wrap} />;
  }
  if (value === undefined || value === null) {
    return (
      <Button
        size="small"
        icon={<PlusOutlined />}
        aria-label={`Set ${midSentence(fieldTitle(own))}`}
        disabled={disabled}
        onClick={() => onChange({})}
      >
        Set
      </Button>
    );
  }
  return (
    <div className="form-nest">
      <Members {...props} fields={fields} held={held} />
      <Button size="small" icon={<DeleteOutlined />} disabled={disabled} onClick={() => onChange(undefined)}>
        Take away
      </Button>
    </div>
  );
}

interface MembersProps extends EditorProps {
  readonly fields: Readonly<Record<string, Field>>;
  readonly held: Document;
}

function Members({ fields, held, path, faults, onChange, disabled = false }: MembersProps) {
  const { identity } = useConsole();
  const isMember = !isAdministrator(identity);
  return Object.entries(fields).map(([name, field]) => {
    const place = [...path, name];
    const where = pointer(place);
    return (
      <Row key={name} place={where} title={fieldTitle(name)} wire={name} note={noteOf(field)} fault={faults.get(where)} field={field}>
        <FieldEditor
          name={name}
          field={field}
          value={held[name]}
          path={place}
          faults={faults}
          disabled={disabled || (isMember && isForAdministrators(field.guard, held))}
          onChange={(next) => onChange({ ...held, [name]: next })}
        />
      </Row>
    );
  });
}

function CompoundList(props: EditorProps) {
  const { name, field, value, path, onChange, disabled = false } = props;
  const fields = useFields(field.type);
  const items = isList(value) ? value : [];
  const put = (index: number, next: Json | undefined) =>
    onChange(items.map((each, at) => (at === index ? (next ?? {}) : each)));
  const full = field.maxItems !== undefined && items.length >= field.maxItems;
  return (
    <div>
      {items.map((item, index) => (
        // oxlint-disable-next-line react/no-array-index-key -- elements have no names of their own
        <div className="form-item" key={index} role="group" aria-label={`${fieldTitle(name)} ${index + 1}`}>
          <Members
            {...props}
            fields={fields}
            held={isDocument(item) ? item : {}}
            path={[...path, index]}
            onChange={(next) => put(index, next)}
          />
          <Button
            size="small"
            icon={<DeleteOutlined />}
            disabled={disabled}
            onClick={() => onChange(items.filter((_, at) => at !== index))}
          >
            Remove {index + 1}
          </Button>
        </div>
      ))}
      <Button
        size="small"
        icon={<PlusOutlined />}
        aria-label={`Add to ${midSentence(fieldTitle(name))}`}
        disabled={disabled || full}
        onClick={() => onChange([...items, {}])}
      >
        Add
      </Button>
    </div>
  );
}
