/**
 * Plays one song at a time: one AudioContext, one mixer, the feed that fills it.
 * Orders are kept until there is sound to give them to: browsers allow it at a click, not before.
 */

import { straight, STRAIGHT, type Bend } from "../mixer/bend";
import { Clock } from "./clock";
import type { Order, Report } from "../mixer/messages";
import { SAMPLE_RATE, type Loop } from "../mixer/mixer";
import { openOutlet, type Outlet } from "./outlet";
import { WindowFeed, type FetchWindow } from "./window-feed";

const REST = 1500; // milliseconds after a pause in which the sound card may go to sleep

/** The browser gives no sound now: a call took it, or there is no device. */
export class Unheard extends Error {}

export interface PlayerListener {
  /** The position, the state or the levels have changed. */
  moved(): void;
  /** A window could not be had; the feed tries again by itself. */
  failed(error: unknown): void;
  /** Tempo and pitch cannot be changed, or not now. */
  unbent(error?: unknown): void;
  /** The browser took the sound away while it played. */
  interrupted(): void;
}

export class Player {
  readonly clock = new Clock();
  /** The song that is loaded, "" for none. */
  song = "";
  playing = false;
  waiting = false;
  loop: Loop | null = null;
  levels: Float32Array = new Float32Array(0);
  total = 0;
  /** How the sound is made, once there was any. */
  kind: Outlet["kind"] | null = null;
  /** Of that song, in the order of the gains. */
  tracks: string[] = [];
  private finals: number[] = [];
  private gains: number[] = [];
  private bend = STRAIGHT;
  private misses = 0; // how often the script for it could not be had
  private context: AudioContext | null = null;
  private outlet: Outlet | null = null;
  private opening: Promise<void> | null = null;
  private backlog: Order[] = [];
  private feed: WindowFeed | null = null;
  private fetchWindow: FetchWindow | null = null;
  private awake = false; // the context runs, and should
  private serial = 0;
  private rest: number | undefined;

  constructor(private readonly listener: PlayerListener) {}

  load(song: string, tracks: string[], fetchWindow: FetchWindow): void {
    this.unload();
    this.song = song;
    this.tracks = tracks;
    this.fetchWindow = fetchWindow;
    this.feed = this.emptyFeed(fetchWindow);
  }

  unload(): void {
    this.feed?.close();
    this.outlet?.close();
    this.feed = this.outlet = this.opening = this.fetchWindow = null;
    this.backlog = [];
    this.finals = [];
    this.total = 0;
    this.serial = 0;
    this.song = "";
    this.playing = this.waiting = false;
    this.loop = null;
    this.levels = new Float32Array(0);
    this.clock.set(0, false);
    this.idle();
    this.listener.moved();
  }

  async play(): Promise<void> {
    const song = this.song;
    if (song === "") return;
    if (this.total > 0 && this.clock.position >= this.total) this.seek(0);
    window.clearTimeout(this.rest);
    this.playing = true;
    this.awake = false;
    this.listener.moved();
    try {
      const context = await this.wake();
      this.opening ??= this.open(context);
      await this.opening;
    } catch (error) {
      if (this.song === song) this.stumble(error);
      return;
    }
    if (this.song === song && this.playing) this.send({ kind: "play" });
  }

  pause(): void {
    this.playing = this.waiting = this.awake = false;
    this.clock.set(this.clock.position, false);
    this.send({ kind: "pause" });
    this.idle();
    this.listener.moved();
  }

  /** Goes to a frame, but not into what is not final yet. */
  seek(frame: number): void {
    const target = Math.max(0, Math.min(Math.round(frame), this.reach()));
    this.serial++;
    this.send({ kind: "seek", frame: target, serial: this.serial });
    this.clock.set(target, false);
    this.feed?.follow(target, this.loop);
    this.listener.moved();
  }

  setGains(gains: number[]): void {
    this.gains = gains;
    this.send({ kind: "gains", gains });
    this.feed?.prefer(gains.map((gain) => gain > 0));
  }

  setBend(bend: Bend): void {
    this.bend = bend;
    this.clock.tempo = bend.tempo;
    if (this.outlet !== null) void this.tune(this.outlet);
  }

  setLoop(loop: Loop | null): void {
    this.loop = loop;
    this.send({ kind: "loop", loop });
    this.feed?.follow(this.clock.position, loop);
    this.listener.moved();
  }

  /** How far each track is final, and the song's length (0 while unknown). */
  extend(finals: number[], total: number): void {
    this.finals = finals;
    this.total = total;
    this.feed?.extend(finals, total);
  }

  /** How far one track is final. */
  final(track: string): number {
    return this.finals[this.tracks.indexOf(track)] ?? 0;
  }

  /** How far one can listen: to the nearest end of what is heard. */
  reach(): number {
    const heard = this.finals.filter((_, track) => (this.gains[track] ?? 0) > 0);
    return heard.length > 0 ? Math.min(...heard) : this.total;
  }

  /** Lets the sound card rest when nothing has played for a while. */
  private idle(): void {
    this.awake = false;
    window.clearTimeout(this.rest);
    this.rest = window.setTimeout(() => this.context?.suspend().catch(() => undefined), REST);
  }

  private emptyFeed(fetchWindow: FetchWindow): WindowFeed {
    return new WindowFeed(
      this.tracks, fetchWindow, (order) => this.send(order),
      (error) => this.listener.failed(error),
    );
  }

  /** The context, running. It may be taken away: by a call, or another app's sound. */
  private async wake(): Promise<AudioContext> {
    try {
      const context = (this.context ??= this.newContext());
      await context.resume();
      this.awake = this.playing && context === this.context;
      return context;
    } catch (error) {
      throw new Unheard("no sound", { cause: error });
    }
  }

  private newContext(): AudioContext {
    const context = new AudioContext({ sampleRate: SAMPLE_RATE, latencyHint: "interactive" });
    context.onstatechange = () => {
      if (context !== this.context || context.state === "running" || !this.awake) return;
      this.pause();
      this.listener.interrupted();
    };
    return context;
  }

  /**
   * There is no sound, or not the audio thread's script. A context remembers that, so the next is
   * new; its mixer has nothing yet, and gets all that this one was told.
   */
  private stumble(error: unknown): void {
    const { position } = this.clock;
    this.context?.close().catch(() => undefined);
    this.feed?.close();
    this.outlet?.close();
    this.context = this.opening = this.outlet = null;
    this.backlog = [];
    this.playing = this.waiting = this.awake = false;
    if (this.fetchWindow !== null) this.feed = this.emptyFeed(this.fetchWindow);
    this.setGains(this.gains);
    this.setLoop(this.loop);
    this.seek(position);
    this.feed?.extend(this.finals, this.total);
    this.listener.failed(error);
    this.listener.moved();
  }

  private async open(context: AudioContext): Promise<void> {
    const { feed } = this; // another one means another song
    const outlet = await openOutlet(context, this.tracks.length, (message) => {
      if (feed !== this.feed) return;
      if (message.kind === "report") this.hear(message);
      else if (message.kind === "unbent") this.listener.unbent();
      else for (const samples of message.samples) this.feed?.reuse(samples);
    });
    if (feed !== this.feed) return outlet.close();
    this.outlet = outlet;
    this.kind = outlet.kind;
    for (const order of this.backlog.splice(0)) outlet.send(order);
    if (!straight(this.bend)) await this.tune(outlet);
  }

  /** Tempo and pitch as they are set; the script that changes them comes when it is first needed. */
  private async tune(outlet: Outlet): Promise<void> {
    try {
      if (!straight(this.bend)) await outlet.learn(this.misses);
    } catch (error) {
      this.misses++;
      return this.listener.unbent(error);
    }
    if (outlet === this.outlet) outlet.send({ kind: "bend", bend: this.bend });
  }

  private send(order: Order): void {
    if (this.outlet !== null) return this.outlet.send(order);
    if (order.kind === "drop") {
      const dropped = this.backlog.filter((o) => o.kind === "layer" && o.block === order.block);
      this.backlog = this.backlog.filter((o) => !dropped.includes(o));
      for (const o of dropped) if (o.kind === "layer") this.feed?.reuse(o.layer.samples);
    } else {
      this.backlog.push(order);
    }
  }

  private hear(report: Report): void {
    this.levels = report.levels;
    if (report.landed === this.serial) {
      if (report.ended && this.playing) {
        this.playing = false;
        this.idle();
      }
      this.waiting = this.playing && report.waiting;
      this.clock.set(report.position, this.playing && !report.waiting);
      this.feed?.follow(report.position, this.loop);
    }
    this.listener.moved();
  }
}
