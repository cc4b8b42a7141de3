/**
 * Mixes the tracks of a song from blocks of samples: position, loop, gains, fades, levels.
 * Knows samples and gains and nothing else: no clock, no network, no browser.
 *
 * The song is cut into blocks of `BLOCK` frames. A block holds one or more layers, each with the
 * samples of some tracks; whoever fetches them puts blocks in and takes them out again, so that
 * memory stays the same however long the song is. All tracks are read at one position: they
 * cannot drift apart.
 */

import { straight, type Bend } from "./bend";
import { Pace } from "./pace";

export const SAMPLE_RATE = 44_100;
export const BLOCK = 22_050;
const RAMP = 256; // frames of a fade: 6 ms, short for the ear and long enough not to click
const GLIDE = 350; // frames in which a gain comes 63 % of the way: 8 ms
const FULL_SCALE = 32_768;
const REGAINED = 2 * BLOCK; // frames that are here again after a stall: or it would be the first of many

/** 16-bit samples of some tracks: frame by frame, in each the tracks' left and right in turn. */
export interface Layer {
  tracks: number[];
  samples: Int16Array;
}

/** Frames `start` to `end`, which play again and again. */
export interface Loop {
  start: number;
  end: number;
}

interface Block {
  layers: Layer[];
  mask: number; // a bit for each track that is there
}

export class Mixer {
  /** The frame that is read next; the one that is heard next is the position. */
  cursor = 0;
  playing = false;
  /** The song came to its end since it was last started or sought in. */
  ended = false;
  /** It would play, but a track that is to be heard is not here yet. */
  waiting = false;
  loop: Loop | null = null;
  /** Tempo and pitch of what is mixed. */
  readonly pace = new Pace();
  closed = false;
  /** The song's length; Infinity while nobody knows it. */
  total = Infinity;
  /** The serial number of the last seek that was carried out. */
  landed = 0;
  /** Each track's highest sample since `takeLevels`, behind its gain. */
  private levels: Float32Array;
  private readonly blocks = new Map<number, Block>();
  private readonly targets: Float32Array;
  private readonly gains: Float32Array;
  private readonly next: Float32Array;
  private heard = 0;
  private fade = 0;
  private stalled = false; // samples ran out while it played
  private jump: { frame: number; serial: number } | null = null;

  constructor(readonly tracks: number) {
    this.targets = new Float32Array(tracks);
    this.gains = new Float32Array(tracks);
    this.next = new Float32Array(tracks);
    this.levels = new Float32Array(tracks);
  }

  put(index: number, layer: Layer): void {
    const block = this.blocks.get(index) ?? { layers: [], mask: 0 };
    block.layers.push(layer);
    for (const track of layer.tracks) block.mask |= 1 << track;
    this.blocks.set(index, block);
  }

  /** Takes a block out; returns its samples, whose memory can be used again. */
  drop(index: number): Int16Array[] {
    const layers = this.blocks.get(index)?.layers ?? [];
    this.blocks.delete(index);
    return layers.map((layer) => layer.samples);
  }

  /** Linear gains, one a track; a track at 0 is not waited for. */
  setGains(gains: ArrayLike<number>): void {
    this.heard = 0;
    for (let track = 0; track < this.tracks; track++) {
      const gain = gains[track] ?? 0;
      this.targets[track] = gain;
      if (gain > 0) this.heard |= 1 << track;
    }
  }

  get position(): number {
    return this.pace.heard(this.cursor);
  }

  /** From what is heard on: what has been read ahead of that may lie behind the loop's end. */
  setLoop(loop: Loop | null): void {
    this.loop = loop;
    if (this.pace.bent) this.again();
  }

  /** Tempo and pitch; they are heard as soon as the stretcher is there. */
  setBend(bend: Bend): void {
    if (this.pace.bent && straight(bend)) this.again();
    this.pace.set(bend);
  }

  play(): void {
    this.playing = true;
    this.ended = false;
  }

  pause(): void {
    this.playing = this.stalled = false;
  }

  /** Goes there as soon as the fade has ended; `serial` tells this seek from earlier ones. */
  seek(frame: number, serial: number): void {
    this.stalled = false;
    this.jump = { frame: Math.max(0, Math.min(Math.round(frame), this.total)), serial };
    if (this.fade === 0) this.settle();
  }

  /** Lets all samples go; nothing is played any more. */
  close(): void {
    this.closed = true;
    this.playing = false;
    this.blocks.clear();
  }

  takeLevels(): Float32Array {
    const taken = this.levels;
    this.levels = new Float32Array(this.tracks);
    return taken;
  }

  /** Fills both channels with what comes next, silence where there is nothing to play. */
  render(left: Float32Array, right: Float32Array): void {
    left.fill(0);
    right.fill(0);
    const length = left.length;
    if (this.pace.stale) this.again();
    if (this.fade === 0) this.settle();
    const wanted = Math.max(this.pace.need(length + RAMP), this.stalled ? REGAINED : 0);
    const open = this.playing && this.jump === null && this.ready(wanted);
    this.waiting = this.playing && this.jump === null && !open;
    this.stalled = this.waiting && (this.stalled || this.fade > 0);
    this.glide(length);
    const from = this.fade;
    const frames = open ? length : Math.min(length, Math.round(from * RAMP));
    const mixed = this.mix(left.subarray(0, frames), right.subarray(0, frames));
    this.shade(left, right, mixed, open ? 1 : -1);
    this.gains.set(this.next);
    if (mixed < frames) this.stop();
  }

  /** There is silence: what nobody hears can be put in order. */
  private settle(): void {
    this.cursor = this.jump?.frame ?? this.position;
    const serial = this.jump?.serial ?? this.landed;
    if (serial !== this.landed) this.ended = false; // who reads of this seek reads of no earlier end
    this.landed = serial;
    this.jump = null;
    this.pace.restart();
    this.gains.set(this.targets);
  }

  /** Fades out, and begins where it is. */
  private again(): void {
    this.jump ??= { frame: Math.round(this.position), serial: this.landed };
  }

  /** The song has ended, or a block was taken from under the position. */
  private stop(): void {
    this.fade = 0;
    if (this.cursor < this.total) return;
    this.playing = false;
    this.ended = true;
    this.pace.restart();
  }

  private glide(frames: number): void {
    const part = 1 - Math.exp(-frames / GLIDE);
    for (let track = 0; track < this.tracks; track++) {
      const far = this.targets[track]! - this.gains[track]!;
      this.next[track] = Math.abs(far) < 1e-4 ? this.targets[track]! : this.gains[track]! + far * part;
    }
  }

  /** Whether all that is to be heard is here for so many frames on the way that is played. */
  private ready(frames: number): boolean {
    let at = this.cursor;
    for (let found = 0; found < frames; ) {
      const run = this.run(at);
      if (run <= 0) return true; // the song's end: nothing is missing
      if (!this.has(at)) return false;
      found += run;
      at = this.after(at, run);
    }
    return true;
  }

  private has(at: number): boolean {
    const mask = this.blocks.get(Math.floor(at / BLOCK))?.mask ?? 0;
    return (mask & this.heard) === this.heard;
  }

  /** Frames from `at` that lie in one block, before the loop's and the song's end. */
  private run(at: number): number {
    const block = (Math.floor(at / BLOCK) + 1) * BLOCK;
    const loop = this.loop !== null && at < this.loop.end ? this.loop.end : Infinity;
    return Math.min(block, loop, this.total) - at;
  }

  private after(at: number, run: number): number {
    return at + run === this.loop?.end ? this.loop.start : at + run;
  }

  /** Fills the front of both with what is heard next; returns how many frames there were. */
  private mix(left: Float32Array, right: Float32Array): number {
    if (!this.pace.bent) return this.read(left, right);
    const rest = this.cursor >= this.total ? this.pace.until(this.position, this.total) : Infinity;
    const frames = Math.min(left.length, rest);
    return this.pace.fill(left.subarray(0, frames), right.subarray(0, frames), this) ? frames : 0;
  }

  /** Adds up to `left.length` frames of all tracks and moves on; returns how many there were. */
  read(left: Float32Array, right: Float32Array): number {
    let done = 0;
    while (done < left.length) {
      const run = Math.min(this.run(this.cursor), left.length - done);
      if (run <= 0 || !this.has(this.cursor)) break;
      for (const layer of this.blocks.get(Math.floor(this.cursor / BLOCK))?.layers ?? []) {
        this.add(layer, left, right, done, run);
      }
      done += run;
      this.cursor = this.after(this.cursor, run);
    }
    return done;
  }

  private add(layer: Layer, left: Float32Array, right: Float32Array, done: number, run: number): void {
    const { tracks, samples } = layer;
    const stride = 2 * tracks.length;
    const first = (this.cursor % BLOCK) * stride;
    for (let k = 0; k < tracks.length; k++) {
      const track = tracks[k]!;
      const step = (this.next[track]! - this.gains[track]!) / left.length / FULL_SCALE;
      let gain = this.gains[track]! / FULL_SCALE + step * done;
      if (gain === 0 && step === 0) continue;
      let highest = this.levels[track]!;
      for (let i = 0, at = first + 2 * k; i < run; i++, at += stride) {
        gain += step;
        const l = samples[at]! * gain;
        const r = samples[at + 1]! * gain;
        left[done + i]! += l;
        right[done + i]! += r;
        highest = Math.max(highest, Math.abs(l), Math.abs(r));
      }
      this.levels[track] = highest;
    }
  }

  /** The fade at play, pause, jumps and where the samples run out; the loop needs none. */
  private shade(left: Float32Array, right: Float32Array, frames: number, direction: 1 | -1): void {
    if (this.fade === 1 && direction === 1) return;
    for (let i = 0; i < frames; i++) {
      this.fade = Math.max(0, Math.min(1, this.fade + direction / RAMP));
      left[i]! *= this.fade;
      right[i]! *= this.fade;
    }
  }
}
