/** Who of a browser's pages is there, and by whose stream each is told. Runs in a worker that all pages share. */

import { type FromPage, type Port, SIGN_MS, type Wish } from "./shared";
import { Stream } from "./stream";

/** Browsers let hidden pages give a sign once a minute; without locks this tells that a page was closed. */
const FORGET_MS = 6 * SIGN_MS;

interface Guest {
  readonly who: string;
  readonly seenAt: number;
}

export class Hub {
  readonly #open: () => Stream;
  readonly #streams = new Map<string, Stream>();
  readonly #guests = new Map<Port, Guest>();

  constructor(open: () => Stream = () => new Stream()) {
    this.#open = open;
  }

  take(port: Port, told: FromPage, now = Date.now()): void {
    this.#forget(now);
    if (told.kind === "leave") this.#leave(port);
    else this.#wish(port, told, now);
  }

  #wish(port: Port, wish: Wish, now: number): void {
    if ((this.#guests.get(port)?.who ?? wish.who) !== wish.who) this.#leave(port);
    this.#guests.set(port, { who: wish.who, seenAt: now });
    const stream = this.#streams.get(wish.who) ?? this.#open();
    this.#streams.set(wish.who, stream);
    stream.wish(port, wish);
  }

  #leave(port: Port): void {
    const { who = "" } = this.#guests.get(port) ?? {};
    this.#guests.delete(port);
    const stream = this.#streams.get(who);
    stream?.leave(port);
    if (stream?.isIdle === true) this.#streams.delete(who);
  }

  #forget(now: number): void {
    for (const [port, { seenAt }] of this.#guests) if (now - seenAt > FORGET_MS) this.#leave(port);
  }
}

/** Serves a page over a channel. */
export function serve(hub: Hub, port: MessagePort): void {
  let isWatched = false;
  port.addEventListener("message", ({ data }: MessageEvent<FromPage>) => {
    hub.take(port, data);
    if (data.kind === "leave" || data.life === undefined || isWatched) return;
    isWatched = true;
    // Who waits for a page's lock gets it when the page is closed, or has crashed.
    void navigator.locks.request(data.life, () => hub.take(port, { kind: "leave" }));
  });
  port.start();
}
