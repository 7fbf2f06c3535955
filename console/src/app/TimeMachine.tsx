/** The way into the past and back: the whole console as it was at a time, nothing to be changed. */

import { HistoryOutlined, StepBackwardOutlined } from "@ant-design/icons";
import { Alert, App, Button, Modal } from "antd";
import { useState } from "react";

import { call, Refused } from "../api/client";
import { type Moment, moment, sameAt } from "../api/moment";

const SECOND_MS = 1000;
const AGO = [
  { title: "10 minutes ago", ms: 600 * SECOND_MS },
  { title: "1 hour ago", ms: 3600 * SECOND_MS },
  { title: "1 day ago", ms: 86_400 * SECOND_MS },
] as const;

/** Loads the same page as of a time; empty is now. */
export function travel(time: string): void {
  location.assign(sameAt(time, location.pathname, location.search));
}

function inputText(time: Date): string {
  return time.toISOString().slice(0, 19);
}

export function readableTime(time: string): string {
  return `${new Date(time).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

export function TimeMachine() {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <>
      <Button icon={<HistoryOutlined />} aria-label="Time machine" onClick={() => setIsOpen(true)} />
      <Modal open={isOpen} title="Time machine" okText="Go there" destroyOnHidden footer={null} onCancel={() => setIsOpen(false)}>
        <Destination />
      </Modal>
    </>
  );
}

function Destination() {
  const [opened] = useState(() => new Date());
  const [text, setText] = useState(inputText(opened));
  const time = new Date(`${text}Z`);
  const isWrong = Number.isNaN(time.getTime()) || time > opened;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (!isWrong) travel(time.toISOString());
      }}
    >
      <p>The whole console as it was then: objects, history, numbers. The page&apos;s address holds the moment: whoever opens it sees the same.</p>
      <div className="strip">
        <label htmlFor="moment">At (UTC)</label>
        <input id="moment" className="time-input" type="datetime-local" step={1} max={inputText(opened)} value={text} onChange={(event) => setText(event.target.value)} />
        <Button type="primary" htmlType="submit" disabled={isWrong}>Go there</Button>
      </div>
      <div className="strip" style={{ marginTop: 12 }}>
        {AGO.map(({ title, ms }) => (
          <Button key={title} size="small" onClick={() => travel(new Date(Date.now() - ms).toISOString())}>{title}</Button>
        ))}
      </div>
    </form>
  );
}

export function PastBanner() {
  const shown = moment.get();
  return shown === null ? null : <Banner shown={shown} />;
}

function Banner({ shown }: { readonly shown: Moment }) {
  const { message } = App.useApp();
  const earlier = async () => {
    const path = `/api/v1/history?limit=1&revision=${shown.revision - 1}`;
    const [entry] = (await call<{ entries: { at: string }[] }>("GET", path)).entries;
    if (entry === undefined) message.info("There is no earlier change.");
    else travel(`${entry.at}Z`);
  };
  return (
    <section className="past" aria-label="Time machine">
      <HistoryOutlined aria-hidden />
      <span>
        <strong>The past: {readableTime(shown.time)}</strong>, revision {shown.revision}. Nothing can be changed here.
      </span>
      <span className="spread" />
      <Button
        size="small"
        icon={<StepBackwardOutlined />}
        onClick={() => void earlier().catch((error: unknown) => message.error(error instanceof Error ? error.message : String(error)))}
      >
        Change before
      </Button>
      <Button size="small" type="primary" onClick={() => travel("")}>Back to now</Button>
    </section>
  );
}

/** In place of the console when a moment cannot be shown. */
export function NoSuchPast({ error }: { readonly error: Error }) {
  const isClosed = error instanceof Refused && error.status === 403;
  return (
    <main className="page">
      <Alert type="error" showIcon title={isClosed ? "The past is shown to administrators." : error.message} />
      <Button style={{ alignSelf: "flex-start" }} onClick={() => travel("")}>Back to now</Button>
    </main>
  );
}
