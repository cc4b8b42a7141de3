/** The part of a song that is seen: from which frame on, and how many. */

const SHORTEST = 44_100 / 4;

export class Viewport {
  start = 0;
  frames = 0;
  total = 0;

  get zoomed(): boolean {
    return this.frames < this.total;
  }

  /** A song that turns out longer is shown whole, unless somebody has zoomed in. */
  fit(total: number): void {
    if (total === this.total) return;
    const whole = !this.zoomed;
    this.total = total;
    if (whole) this.show(0, total);
    else this.show(this.start, this.frames);
  }

  /** Where a frame lies, 0 to 1 from the left. */
  at(frame: number): number {
    return this.frames > 0 ? (frame - this.start) / this.frames : 0;
  }

  frame(place: number): number {
    return Math.max(0, Math.min(this.total, Math.round(this.start + place * this.frames)));
  }

  /** Shows `factor` times as much; what lies at `place` stays there. */
  zoom(place: number, factor: number): void {
    const fixed = this.start + place * this.frames;
    const frames = Math.max(SHORTEST, Math.min(this.total, this.frames * factor));
    this.show(fixed - place * frames, frames);
  }

  scroll(frames: number): void {
    this.show(this.start + frames, this.frames);
  }

  /** Turns the page when the player has left it. */
  follow(position: number): void {
    if (!this.zoomed || (position >= this.start && position < this.start + this.frames)) return;
    this.show(position - 0.05 * this.frames, this.frames);
  }

  private show(start: number, frames: number): void {
    this.frames = Math.min(frames, this.total);
    this.start = Math.max(0, Math.min(start, this.total - this.frames));
  }
}
