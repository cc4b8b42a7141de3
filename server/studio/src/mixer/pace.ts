/**
 * Reads a song at another pace than it is heard: stands between a mixer and its fades while tempo
 * or pitch are changed, and knows which frame is heard while others are being read already.
 */

import { STRAIGHT, straight, type Bend } from "./bend";
import { ROOM, type Stretch } from "./stretch";

/** A song, read frame by frame. */
export interface Source {
  /** The frame that is read next. */
  readonly cursor: number;
  readonly total: number;
  readonly loop: { start: number } | null;
  /** Adds up to `left.length` frames and moves on; fewer where the song ends or samples are missing. */
  read(left: Float32Array, right: Float32Array): number;
}

/** From input frame `fed` on, the song's frames from `frame` on were read. */
interface Mark {
  fed: number;
  frame: number;
}

export class Pace {
  /** Whether sound comes by way of the stretcher. */
  bent = false;
  /** Whether a stretcher is there or on its way. */
  equipping = false;
  private bend = STRAIGHT;
  private stretch: Stretch | null = null;
  private fed = 0;
  private marks: Mark[] = []; // empty while nothing has been read
  private readonly room = [new Float32Array(ROOM), new Float32Array(ROOM)];
  private left = this.room[0]!;
  private right = this.room[1]!;

  attach(stretch: Stretch): void {
    this.stretch = stretch;
    stretch.set(this.bend);
  }

  set(bend: Bend): void {
    this.bend = bend;
    this.stretch?.set(bend);
  }

  /** Whether the way that sound takes is not the one that is wanted. */
  get stale(): boolean {
    return this.bent !== this.wanted;
  }

  /** Begins anew, in silence, at whatever is read next. */
  restart(): void {
    this.bent = this.wanted;
    this.marks = [];
    this.fed = 0;
  }

  /** The frame that is heard next, where `cursor` is read next. */
  heard(cursor: number): number {
    if (this.marks.length === 0) return cursor;
    const fed = this.fed - this.stretch!.lag;
    const mark = this.marks.filter((one) => one.fed <= fed).at(-1) ?? this.marks[0]!;
    return mark.frame + Math.max(0, fed - mark.fed);
  }

  /** How many frames of the song the next `frames` frames of sound may take. */
  need(frames: number): number {
    if (!this.bent) return frames;
    return Math.ceil(frames * this.bend.tempo) + 1 + (this.marks.length === 0 ? this.stretch!.lag : 0);
  }

  /** Frames of sound from song frame `from` to frame `to`. */
  until(from: number, to: number): number {
    return Math.max(0, Math.ceil((to - from) / this.bend.tempo));
  }

  /** Fills `left` and `right`, with silence behind the song's end; returns whether all was there. */
  fill(left: Float32Array, right: Float32Array, source: Source): boolean {
    const stretch = this.stretch!;
    let whole = true;
    if (this.marks.length === 0) {
      this.marks.push({ fed: 0, frame: source.cursor });
      whole = this.take(stretch.lag, source);
      stretch.begin(this.left, this.right);
    }
    whole = this.take(stretch.due(left.length), source) && whole;
    stretch.process(this.left, this.right, left, right);
    return whole;
  }

  private take(frames: number, source: Source): boolean {
    this.left = this.room[0]!.subarray(0, frames).fill(0);
    this.right = this.room[1]!.subarray(0, frames).fill(0);
    const from = source.cursor;
    const count = source.read(this.left, this.right);
    this.fed += frames;
    if (source.cursor !== from + count) this.turn(source.cursor, source.loop!.start);
    while (this.marks.length > 1 && this.marks[1]!.fed <= this.fed - this.stretch!.lag) this.marks.shift();
    return count === frames || source.cursor >= source.total;
  }

  /** A loop has turned on the way to `cursor`. */
  private turn(cursor: number, start: number): void {
    this.marks.push({ fed: this.fed - (cursor - start), frame: start });
  }

  private get wanted(): boolean {
    return this.stretch !== null && !straight(this.bend);
  }
}
