/** When an alarm rule raises and lets go, as a table of its annotations. */

import { othersCount, SETTINGS, settingFault, settingOf, withSetting } from "./alarmTimes";
import { FaultsBelow } from "./FaultsBelow";
import type { EditorProps } from "./PropertyEditor";
import { TextCell } from "./TableCell";

export function AlarmTimesTable({ value, path, faults, onChange, disabled = false }: Omit<EditorProps, "field">) {
  const others = othersCount(value);
  return (
    <div className="rules">
      <table>
        <tbody>
          {SETTINGS.map((setting) => {
            const { key, title, unset, note, most } = setting;
            const fault = settingFault(setting, value);
            return (
              <tr key={key}>
                <th scope="row">{title}</th>
                <td><TextCell label={title} width={most === undefined ? 260 : 130} placeholder={unset} value={settingOf(value, key)} isWrong={fault !== ""} disabled={disabled} onChange={(text) => onChange(withSetting(value, key, text))} /></td>
                <td>{fault === "" ? <span className="form-note">{note}</span> : <span className="form-fault" role="alert">{fault}</span>}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
      <FaultsBelow path={path} faults={faults} />
      {others > 0 && <p className="form-note">{others === 1 ? "One other annotation is" : `${others} other annotations are`} under “All members”.</p>}
    </div>
  );
}
