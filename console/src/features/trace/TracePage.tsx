/** Where a packet goes, host by host and table by table, and which rule decides. */

import { NodeIndexOutlined, SendOutlined, SwapOutlined } from "@ant-design/icons";
import { useMutation, useQuery } from "@tanstack/react-query";
import { Alert, Button, Empty, Input, Select, Spin } from "antd";
import { type FormEvent, useState } from "react";
import { useSearchParams } from "react-router";

import { call, Refused } from "../../api/client";
import { isAdministrator } from "../../api/session";
import { useConsole } from "../../app/context";
import { EndPicker } from "./EndPicker";
import { ProbePicture } from "./ProbePicture";
import { canProbe, hasPorts, missing, probeBody, PROTOCOLS, type Question, questionOf, type Trace, tracePath } from "./trace";
import { TracePicture } from "./TracePicture";

export function TracePage() {
  const [search, setSearch] = useSearchParams();
  const asked = questionOf(search);
  const isAsked = missing(asked) === "";
  const found = useQuery({
    queryKey: ["trace", asked],
    queryFn: ({ signal }) => call<Trace>("GET", tracePath(asked), { signal }),
    enabled: isAsked,
    retry: false,
    staleTime: 0,
    gcTime: 0,
  });
  const probe = useMutation({ mutationFn: (question: Question) => call<Trace>("POST", "/api/v1/trace", { body: probeBody(question) }) });
  const isProbed = probe.variables !== undefined && JSON.stringify(probe.variables) === JSON.stringify(asked);
  const shown = isProbed && probe.data !== undefined ? probe.data : found.data;
  const ask = (question: Question) => {
    probe.reset();
    const { source: from, destination: to, ...rest } = question;
    const given = Object.entries({ from, to, ...rest }).filter(([, value]) => value !== "");
    setSearch(Object.fromEntries(given));
    if (JSON.stringify(question) === JSON.stringify(asked)) void found.refetch();
  };
  return (
    <div className="page">
      <div className="page-head">
        <h1>Path trace</h1>
        <span className="form-note">What hosts would do with the first packet now, by the tables in their kernels. Tracing sends nothing; a probe is sent only when you ask for it.</span>
      </div>
      <QuestionForm key={search.toString()} question={asked} isBusy={found.isFetching} onAsk={ask} />
      {!isAsked && <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description="Choose two ports above. The way back is asked with ⇄." />}
      {isAsked && found.isError && <Alert type="warning" showIcon role="alert" title={explained(found.error)} />}
      {isAsked && found.isLoading && <Spin />}
      {found.data !== undefined && canProbe(asked) && (
        <div className="strip">
          <Button icon={<SendOutlined aria-hidden />} loading={probe.isPending} onClick={() => probe.mutate(asked)}>Send a probe</Button>
          <span className="form-note">A real first packet from the port&apos;s own address; the workload it arrives at gets it. It takes three seconds.</span>
        </div>
      )}
      {isProbed && probe.isError && <Alert type="warning" showIcon role="alert" title={probe.error.message} />}
      {isProbed && probe.data?.probe !== undefined && <ProbePicture probe={probe.data.probe} />}
      {shown !== undefined && <TracePicture trace={shown} />}
    </div>
  );
}

function explained(error: Error): string {
  if (error instanceof Refused && error.status === 404) return "This API server is not told where agents listen (its option --agent): it cannot ask them.";
  return error.message;
}

interface FormProps {
  readonly question: Question;
  readonly isBusy: boolean;
  readonly onAsk: (question: Question) => void;
}

function QuestionForm({ question, isBusy, onAsk }: FormProps) {
  const { identity } = useConsole();
  const [now, setNow] = useState(question);
  const [tried, setTried] = useState(false);
  const lack = missing(now);
  const anywhere = isAdministrator(identity) || identity.is_reader;
  const set = (part: Partial<Question>) => setNow((before) => ({ ...before, ...part }));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (lack === "") onAsk(now);
  };
  const isAddress = [now.source, now.destination].some((end) => /^[0-9.]+$|^[0-9a-f]*:[0-9a-f:.]*$/i.test(end));
  return (
    <form className="strip" aria-label="Packet" onSubmit={submit}>
      <EndPicker label="From" anywhere={anywhere} value={now.source} onChange={(source) => set({ source })} />
      <Button
        icon={<SwapOutlined />}
        aria-label="The other way"
        onClick={() => set({ source: now.destination, destination: now.source })}
      />
      <EndPicker label="To" anywhere={anywhere} value={now.destination} onChange={(destination) => set({ destination })} />
      <Select
        aria-label="Protocol"
        value={now.protocol}
        style={{ width: 90 }}
        options={PROTOCOLS.map((value) => ({ value, label: value }))}
        onChange={(protocol: string) => set({ protocol, port: hasPorts(protocol) ? now.port : "" })}
      />
      {hasPorts(now.protocol) && (
        <Input aria-label="Port" placeholder="port" inputMode="numeric" value={now.port} style={{ width: 80 }} onChange={(event) => set({ port: event.target.value.trim() })} />
      )}
      {isAddress && (
        <Input aria-label="Network of the address" placeholder="its network, domain:project:name" value={now.network} style={{ width: 240 }} onChange={(event) => set({ network: event.target.value.trim() })} />
      )}
      <Button type="primary" htmlType="submit" icon={<NodeIndexOutlined />} loading={isBusy}>Trace</Button>
      {tried && lack !== "" && <span className="form-fault" role="alert">{lack}</span>}
    </form>
  );
}
