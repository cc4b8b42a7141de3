/** Where the player is, between two of the mixer's reports: in frames, for the eye. */

import { SAMPLE_RATE, type Loop } from "../mixer/mixer";

const LONGEST_GUESS = 0.1; // seconds without a report after which time stands still

export class Clock {
  /** The last position that is known for certain. */
  position = 0;
  /** Song seconds in a second. */
  tempo = 1;
  private running = false;
  private since = 0;

  constructor(private readonly seconds: () => number = () => performance.now() / 1000) {}

  set(position: number, running: boolean): void {
    this.position = position;
    this.running = running;
    this.since = this.seconds();
  }

  /** The likely position now; it stays within a loop that it is in. */
  now(loop: Loop | null): number {
    if (!this.running) return this.position;
    const passed = Math.min(this.seconds() - this.since, LONGEST_GUESS);
    const guess = this.position + passed * this.tempo * SAMPLE_RATE;
    if (loop === null || this.position >= loop.end || guess < loop.end) return guess;
    return loop.start + ((guess - loop.start) % (loop.end - loop.start));
  }
}
