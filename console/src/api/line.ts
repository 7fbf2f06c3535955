/** A page's line to the stream that its browser's pages share. */

import { token } from "./client";
import { Hub, serve } from "./hub";
import { type FromPage, SIGN_MS, type ToPage } from "./shared";

/** Signs without an answer until the other end is thought to be gone. */
const UNANSWERED_MAX = 2;

/** Calls when the worker cannot be had. */
function sharedPort(failed: () => void): MessagePort {
  const worker = new SharedWorker(new URL("./worker.ts", import.meta.url), { type: "module", name: "skytrail" });
  worker.addEventListener("error", failed);
  return worker.port;
}

/** A stream of the page's own. */
function ownPort(): MessagePort {
  const { port1, port2 } = new MessageChannel();
  serve(new Hub(), port2);
  return port1;
}

export class Line {
  readonly #who: string;
  readonly #heard: (told: ToPage) => void;
  #port: MessagePort | undefined;
  #types: readonly string[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;
  #unanswered = 0;
  /** Not all browsers have such workers, and one may forbid them. */
  #isShared = typeof SharedWorker === "function";
  #life: string | undefined;
  #end: () => void = () => undefined;

  constructor(who: string, heard: (told: ToPage) => void) {
    this.#who = who;
    this.#heard = heard;
  }

  start(): void {
    this.#open();
    this.#live();
    this.#timer = setInterval(this.#sign, SIGN_MS);
    addEventListener("pagehide", this.#leave);
    addEventListener("pageshow", this.#sign);
    document.addEventListener("visibilitychange", this.#sign);
  }

  stop(): void {
    this.#leave();
    this.#end();
    this.#port?.close();
    clearInterval(this.#timer);
    removeEventListener("pagehide", this.#leave);
    removeEventListener("pageshow", this.#sign);
    document.removeEventListener("visibilitychange", this.#sign);
  }

  wish(types: readonly string[]): void {
    this.#types = types;
    this.#send();
  }

  /** Pages of origins that browsers think unsafe (http by a name) have no locks. */
  #live(): void {
    if (!("locks" in navigator)) return;
    const life = crypto.randomUUID();
    void navigator.locks.request(life, () => {
      this.#life = life;
      this.#send();
      return new Promise<void>((resolve) => {
        this.#end = resolve;
      });
    });
  }

  #open(): void {
    this.#port?.close();
    this.#unanswered = 0;
    this.#port = this.#isShared ? sharedPort(this.#alone) : ownPort();
    this.#port.addEventListener("message", ({ data }: MessageEvent<ToPage>) => {
      this.#unanswered = 0;
      this.#heard(data);
    });
    this.#port.start();
    this.#send();
  }

  #send(): void {
    const life = this.#life === undefined ? {} : { life: this.#life };
    this.#post({ kind: "wish", who: this.#who, token: token.get(), types: this.#types, ...life });
  }

  #post(said: FromPage): void {
    this.#port?.postMessage(said);
  }

  readonly #sign = () => {
    if (this.#unanswered >= UNANSWERED_MAX) {
      this.#open();
      return;
    }
    this.#unanswered += 1;
    this.#send();
  };

  readonly #alone = () => {
    this.#isShared = false;
    this.#open();
  };

  readonly #leave = () => this.#post({ kind: "leave" });
}
