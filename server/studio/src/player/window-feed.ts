/**
 * Keeps a mixer's blocks filled: knows which lie on the way that is played, fetches what is
 * missing, one window at a time, and takes out what is behind. Memory stays the same however long
 * the song is. Knows no server: it is given a function that fetches.
 */

import type { ByteSource } from "./byte-source";
import type { Order } from "../mixer/messages";
import { BLOCK, type Loop } from "../mixer/mixer";

const AHEAD = 16; // blocks on the way that are held: 8 s
const RUN = 8; // blocks of one window at most: 4 s
const WORTH = 4; // blocks that a window should bring, while there is time
const FIRST_RUN = 2; // of the first window after a jump: sound comes before comfort
const PATIENCE = 500; // milliseconds after a window that brought nothing or failed
const MOST_PATIENCE = 2000; // after several in a row

/** Samples of the asked tracks from `start` on, as the server had them. */
export interface Window {
  start: number;
  frames: number;
  samples: ByteSource;
}

export type FetchWindow = (
  tracks: string[],
  start: number,
  frames: number,
  signal: AbortSignal,
) => Promise<Window>;

/** A window that is on its way. */
interface Running {
  /** The block that it brings next, and the last one. */
  next: number;
  readonly last: number;
  /** A bit for each track in it. */
  readonly mask: number;
  readonly abort: AbortController;
}

export class WindowFeed {
  private readonly held = new Map<number, number>();
  private spent: Int16Array[] = [];
  private finals: number[];
  private heard = ~0; // a bit for each track that is to be heard
  private total = Infinity;
  private position = 0;
  private loop: Loop | null = null;
  private running: Running | null = null;
  private retry: number | undefined;
  private misses = 0; // windows in a row that failed
  private closed = false;

  constructor(
    private readonly tracks: string[],
    private readonly fetchWindow: FetchWindow,
    private readonly send: (order: Order) => void,
    private readonly failed: (error: unknown) => void,
  ) {
    this.finals = tracks.map(() => 0);
  }

  /** How far each track is final, and the song's length (0 while unknown), in frames. */
  extend(finals: number[], total: number): void {
    this.finals = finals;
    if (total > 0 && total !== this.total) {
      this.total = total;
      this.send({ kind: "total", frames: total });
    }
    this.pump();
  }

  /** The player is here; what it needs next follows from that. */
  follow(position: number, loop: Loop | null): void {
    this.position = position;
    this.loop = loop;
    this.pump();
  }

  /** What is to be heard comes first: on a slow line it is all that comes in time. */
  prefer(heard: boolean[]): void {
    this.heard = heard.reduce((mask, on, track) => (on ? mask | (1 << track) : mask), 0);
    this.pump();
  }

  /** Takes back samples that the mixer has no use for any more. */
  reuse(samples: Int16Array): void {
    this.spent.push(samples);
    if (this.spent.length > 2 * AHEAD) this.spent.shift();
  }

  close(): void {
    this.closed = true;
    this.running?.abort.abort();
    window.clearTimeout(this.retry);
  }

  private pump(): void {
    if (this.closed) return;
    const way = this.way();
    this.forget(new Set(way));
    const near = way.slice(0, AHEAD - WORTH);
    const silent = near.findIndex((block) => (this.missing(block) & this.heard) !== 0);
    if (this.serves(way, silent)) return;
    this.running?.abort.abort();
    this.running = null;
    if (this.retry !== undefined) return;
    const place = silent >= 0 ? silent : way.findIndex((block) => this.missing(block) !== 0);
    if (place < 0) return;
    const asked = silent >= 0 ? this.heard : ~0;
    const most = silent === 0 ? FIRST_RUN : silent > 0 ? RUN : WORTH;
    const count = this.run(way.slice(place), most, asked);
    if (count >= WORTH || place < AHEAD / 2) void this.fetch(way[place]!, count, asked);
  }

  /** Whether the window under way is wanted, and nothing before it; `silent` is where sound lacks first. */
  private serves(way: number[], silent: number): boolean {
    const { running } = this;
    if (running === null || !way.includes(running.last)) return false;
    if (silent < 0 || silent >= WORTH) return true; // there is time
    const block = way[silent]!;
    return running.next === block && (this.missing(block) & this.heard & ~running.mask) === 0;
  }

  /** The blocks that will be played next, in that order. */
  private way(): number[] {
    const blocks: number[] = [];
    let at = Math.min(this.position, this.total - 1);
    while (blocks.length < AHEAD && at < this.total) {
      const block = Math.floor(at / BLOCK);
      if (blocks.includes(block)) break; // a loop shorter than what is held
      blocks.push(block);
      const next = (block + 1) * BLOCK;
      const turns = this.loop !== null && at < this.loop.end && next >= this.loop.end;
      at = turns ? this.loop!.start : next;
    }
    return blocks;
  }

  private forget(way: Set<number>): void {
    const here = Math.floor(this.position / BLOCK);
    for (const block of this.held.keys()) {
      if (way.has(block) || block === here - 1) continue;
      this.held.delete(block);
      this.send({ kind: "drop", block });
    }
  }

  /** A bit for each track that is final in this block, and not held yet. */
  private missing(block: number): number {
    const end = Math.min((block + 1) * BLOCK, this.total);
    let mask = 0;
    this.finals.forEach((final, track) => {
      if (final >= end) mask |= 1 << track;
    });
    return mask & ~(this.held.get(block) ?? 0);
  }

  /** How many blocks in a row lack the same tracks as the first: one window brings them. */
  private run(way: number[], most: number, asked: number): number {
    const mask = this.missing(way[0]!) & asked;
    let count = 1;
    while (
      count < most && way[count] === way[0]! + count &&
      (this.missing(way[count]!) & asked) === mask
    ) count++;
    return count;
  }

  private async fetch(first: number, count: number, asked: number): Promise<void> {
    const mask = this.missing(first) & asked;
    const indices = this.tracks.map((_, track) => track).filter((track) => mask & (1 << track));
    const names = indices.map((track) => this.tracks[track]!);
    const running = { next: first, last: first + count - 1, mask, abort: new AbortController() };
    const { signal } = running.abort;
    this.running = running;
    try {
      const found = await this.fetchWindow(names, first * BLOCK, count * BLOCK, signal);
      const blocks = await this.take(found, indices, running);
      if (signal.aborted || this.closed) return;
      this.running = null;
      this.misses = 0;
      if (blocks === 0) this.wait();
    } catch (error) {
      if (signal.aborted || this.closed) return;
      this.running = null;
      this.misses++;
      this.wait();
      this.failed(error);
    }
    this.pump();
  }

  /** Hands whole blocks over as they come, and the song's last one; returns how many. */
  private async take(found: Window, tracks: number[], running: Running): Promise<number> {
    const stride = 2 * tracks.length;
    const end = found.start + found.frames;
    let count = 0;
    for (let at = found.start; at < end; at += BLOCK) {
      const frames = Math.min(BLOCK, end - at);
      if (frames < BLOCK && end < this.total) break;
      const samples = await found.samples.fill(this.memory(BLOCK * stride), frames * stride);
      if (running.abort.signal.aborted) break;
      samples.fill(0, frames * stride);
      this.hand(at / BLOCK, tracks, samples);
      running.next = at / BLOCK + 1;
      count++;
    }
    found.samples.cancel();
    return count;
  }

  private hand(block: number, tracks: number[], samples: Int16Array): void {
    this.held.set(block, tracks.reduce((mask, t) => mask | (1 << t), this.held.get(block) ?? 0));
    this.send({ kind: "layer", block, layer: { tracks, samples } });
  }

  private memory(length: number): Int16Array {
    const place = this.spent.findIndex((samples) => samples.length === length);
    return place < 0 ? new Int16Array(length) : this.spent.splice(place, 1)[0]!;
  }

  private wait(): void {
    this.retry = window.setTimeout(() => {
      this.retry = undefined;
      this.pump();
    }, Math.min(MOST_PATIENCE, PATIENCE * 2 ** Math.max(0, this.misses - 1)));
  }
}
