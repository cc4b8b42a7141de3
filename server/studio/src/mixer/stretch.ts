/**
 * Changes tempo and pitch of stereo sound by Signalsmith Stretch, a spectral stretcher in
 * WebAssembly: its memory, its latencies, and how much goes in for what comes out. Knows no song.
 */

import type { Bend } from "./bend";
import { SAMPLE_RATE } from "./mixer";

const BLOCK = 0.12 * SAMPLE_RATE; // frames of one spectrum; this and the next are the library's own
const INTERVAL = 0.03 * SAMPLE_RATE; // choice for music
const SPLIT = 1; // spread each spectrum's work: the audio thread has 3 ms a turn
const TONALITY = 8000; // Hz above which a shift keeps the timbre rather than the harmony
export const ROOM = 16_384; // frames of one call

/** What the WebAssembly module offers. */
export interface Engine {
  HEAP8: Int8Array;
  _setBuffers(channels: number, frames: number): number;
  _configure(channels: number, block: number, interval: number, split: number): void;
  _inputLatency(): number;
  _outputLatency(): number;
  _reset(): void;
  _setTransposeSemitones(semitones: number, tonality: number): void;
  _seek(frames: number, rate: number): void;
  _process(input: number, output: number): void;
}

export class Stretch {
  private tempo = 1;
  private owed = 0; // the fraction of an input frame that the last call left over
  private readonly before: number;
  private readonly after: number;
  private readonly memory: number;

  constructor(private readonly engine: Engine) {
    engine._configure(2, BLOCK, INTERVAL, SPLIT);
    this.before = engine._inputLatency();
    this.after = engine._outputLatency();
    this.memory = engine._setBuffers(2, ROOM);
  }

  set({ tempo, semitones }: Bend): void {
    this.tempo = tempo;
    this.engine._setTransposeSemitones(semitones, TONALITY / SAMPLE_RATE);
  }

  /** Input frames by which what goes in is ahead of what comes out. */
  get lag(): number {
    return this.before + Math.round(this.after * this.tempo);
  }

  /** Input frames that so many frames of output take next. */
  due(frames: number): number {
    return Math.floor(this.owed + frames * this.tempo);
  }

  /** Forgets all; with `lag` frames of input, what comes out next is the first of them. */
  begin(left: Float32Array, right: Float32Array): void {
    const rest = left.length - this.before;
    this.owed = 0;
    this.engine._reset();
    this.write(left.subarray(0, this.before), right.subarray(0, this.before));
    this.engine._seek(this.before, this.tempo);
    this.write(left.subarray(this.before), right.subarray(this.before));
    this.engine._process(rest, this.after); // what comes of it lies before the beginning
  }

  /** Fills the outputs from `due` frames of input. */
  process(left: Float32Array, right: Float32Array, outLeft: Float32Array, outRight: Float32Array): void {
    const frames = outLeft.length;
    this.owed += frames * this.tempo - left.length;
    this.write(left, right);
    this.engine._process(left.length, frames);
    outLeft.set(this.view(2, frames));
    outRight.set(this.view(3, frames));
  }

  private write(left: Float32Array, right: Float32Array): void {
    this.view(0, left.length).set(left);
    this.view(1, right.length).set(right);
  }

  /** Anew each time: the module's memory may have grown, and moved. */
  private view(channel: number, frames: number): Float32Array {
    return new Float32Array(this.engine.HEAP8.buffer, this.memory + 4 * ROOM * channel, frames);
  }
}
