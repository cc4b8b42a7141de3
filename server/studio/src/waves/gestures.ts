/** What a pointer does on waveforms and ruler: click seeks, drag loops, ctrl and wheel zooms. */

import type { Viewport } from "./viewport";

const STILL = 4; // CSS pixels that a click may move
const NEAR = 6; // CSS pixels beside a marker that still mean it
const SHORTEST = 441; // frames of a loop

export interface GestureListener {
  seek(frame: number): void;
  /** What somebody means who clicks the ruler at a frame, give or take so many. */
  meant(frame: number, about: number): number;
  loop(start: number, end: number): void;
  seen(): void;
}

export class Gestures {
  constructor(private readonly view: Viewport, private readonly listener: GestureListener) {}

  /** A waveform: click seeks, drag selects a loop. */
  lane(canvas: HTMLCanvasElement): void {
    this.wheel(canvas);
    canvas.addEventListener("pointerdown", (down) => {
      if (down.button !== 0) return;
      canvas.setPointerCapture(down.pointerId);
      const from = this.view.frame(place(canvas, down));
      this.drag(canvas, down, (move) => {
        const to = this.view.frame(place(canvas, move));
        if (Math.abs(to - from) < SHORTEST) return;
        this.listener.loop(Math.min(from, to), Math.max(from, to));
      }, () => this.listener.seek(from));
    });
  }

  /** The ruler: click seeks, drag scrolls. */
  ruler(canvas: HTMLCanvasElement): void {
    this.wheel(canvas);
    canvas.addEventListener("pointerdown", (down) => {
      if (down.button !== 0) return;
      canvas.setPointerCapture(down.pointerId);
      let last = down.clientX;
      this.drag(canvas, down, (move) => {
        this.view.scroll(((last - move.clientX) / canvas.clientWidth) * this.view.frames);
        last = move.clientX;
        this.listener.seen();
      }, () => {
        const about = (NEAR / canvas.clientWidth) * this.view.frames;
        this.listener.seek(this.listener.meant(this.view.frame(place(canvas, down)), about));
      });
    });
  }

  private wheel(canvas: HTMLCanvasElement): void {
    canvas.addEventListener("wheel", (event) => {
      if (event.ctrlKey) this.view.zoom(place(canvas, event), Math.exp(event.deltaY / 300));
      else if (this.view.zoomed && (event.deltaX !== 0 || event.shiftKey)) {
        const pixels = event.deltaX || event.deltaY;
        this.view.scroll((pixels / canvas.clientWidth) * this.view.frames);
      } else return;
      event.preventDefault();
      this.listener.seen();
    }, { passive: false });
  }

  /** Hears the moves until the pointer is let go; a click is a drag that did not move. */
  private drag(
    canvas: HTMLCanvasElement, down: PointerEvent,
    moved: (event: PointerEvent) => void, clicked: () => void,
  ): void {
    let far = false;
    const end = new AbortController();
    const { signal } = end;
    canvas.addEventListener("pointermove", (event) => {
      far ||= Math.abs(event.clientX - down.clientX) > STILL;
      if (far) moved(event);
    }, { signal });
    canvas.addEventListener("pointercancel", () => end.abort(), { signal });
    canvas.addEventListener("pointerup", () => {
      end.abort();
      if (!far) clicked();
    }, { signal });
  }
}

function place(canvas: HTMLCanvasElement, event: MouseEvent): number {
  const box = canvas.getBoundingClientRect();
  return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
}
