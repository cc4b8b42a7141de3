/**
 * Where a mixer's sound goes: an AudioWorklet where the page may have one, else chained buffers.
 *
 * Browsers offer AudioWorklet to secure pages only (HTTPS or this machine). Elsewhere the same
 * mixer runs in the page and its sound is scheduled piece by piece, a little ahead.
 */

import { equip, obey, report, type Message, type Order, type Report } from "../mixer/messages";
import { Mixer, SAMPLE_RATE } from "../mixer/mixer";

const PIECE = 1024; // frames of one chained buffer
const AHEAD = 0.3; // seconds that are scheduled: a page may be busy for so long
const TICK = 60; // milliseconds between two looks

export interface Outlet {
  readonly kind: "worklet" | "chained";
  /**
   * Fetches the stretcher's script, once; before that, a mixer cannot bend. Browsers remember what
   * failed: another attempt needs another number.
   */
  learn(attempt: number): Promise<void>;
  send(order: Order): void;
  close(): void;
}

/** The server has no such script any more: it is another version's than this page. */
export class Outdated extends Error {}

export type Listener = (message: Message) => void;

export async function openOutlet(
  context: AudioContext,
  tracks: number,
  listener: Listener,
): Promise<Outlet> {
  if (context.audioWorklet === undefined) return new ChainedOutlet(context, tracks, listener);
  const url = new URL(MIXER_FILE, import.meta.url).href;
  await had(url, context.audioWorklet.addModule(url));
  return new WorkletOutlet(context, tracks, listener);
}

function stretcher(attempt: number): string {
  return new URL(STRETCH_FILE + (attempt > 0 ? `?${attempt}` : ""), import.meta.url).href;
}

/** A script that is being loaded. A browser does not say why one could not be had: the server does. */
async function had(url: string, loading: Promise<unknown>): Promise<void> {
  try {
    await loading;
  } catch (error) {
    const answer = await fetch(url, { method: "HEAD", cache: "no-store" }).catch(() => null);
    throw answer?.status === 404 ? new Outdated() : error;
  }
}

class WorkletOutlet implements Outlet {
  readonly kind = "worklet";
  private readonly node: AudioWorkletNode;

  constructor(private readonly context: AudioContext, tracks: number, listener: Listener) {
    this.node = new AudioWorkletNode(context, "mixer", {
      numberOfInputs: 0,
      outputChannelCount: [2],
      processorOptions: { tracks },
    });
    this.node.port.onmessage = (event: MessageEvent<Message>) => listener(event.data);
    this.node.connect(context.destination);
  }

  learn(attempt: number): Promise<void> {
    const url = stretcher(attempt);
    return had(url, this.context.audioWorklet.addModule(url));
  }

  send(order: Order): void {
    const goods = order.kind === "layer" ? [order.layer.samples.buffer] : [];
    this.node.port.postMessage(order, goods);
  }

  close(): void {
    this.node.disconnect();
    this.node.port.postMessage({ kind: "close" } satisfies Order);
    this.node.port.close();
  }
}

class ChainedOutlet implements Outlet {
  readonly kind = "chained";
  private readonly mixer: Mixer;
  private readonly timer: number;
  private readonly due: { at: number; report: Report }[] = [];
  private readonly out: GainNode; // what is scheduled goes with it
  private scheduled = 0;

  constructor(
    private readonly context: AudioContext,
    tracks: number,
    private readonly listener: Listener,
  ) {
    this.mixer = new Mixer(tracks);
    this.out = context.createGain();
    this.out.connect(context.destination);
    this.timer = window.setInterval(() => this.tick(), TICK);
  }

  async learn(attempt: number): Promise<void> {
    const url = stretcher(attempt);
    await had(url, import(url));
  }

  send(order: Order): void {
    equip(this.mixer, order).catch(() => this.listener({ kind: "unbent" }));
    const samples = obey(this.mixer, order);
    if (samples.length > 0) this.listener({ kind: "spent", samples });
    if (order.kind === "seek" || order.kind === "play") this.tick();
  }

  close(): void {
    window.clearInterval(this.timer);
    this.out.disconnect();
    this.context.suspend().catch(() => undefined);
  }

  private tick(): void {
    const now = this.context.currentTime;
    this.scheduled = Math.max(this.scheduled, now + 0.02);
    while (this.scheduled < now + AHEAD) this.schedule();
    while (this.due.length > 0 && this.due[0]!.at <= now) this.listener(this.due.shift()!.report);
  }

  private schedule(): void {
    const buffer = this.context.createBuffer(2, PIECE, SAMPLE_RATE);
    this.mixer.render(buffer.getChannelData(0), buffer.getChannelData(1));
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.out);
    source.start(this.scheduled);
    this.scheduled += PIECE / SAMPLE_RATE;
    this.due.push({ at: this.scheduled, report: report(this.mixer) });
  }
}
