/**
 * What pointers do on waveforms and ruler: a click seeks, a drag loops, ctrl and wheel zoom, and so do
 * two fingers, on whichever waveforms they are.
 */

import type { Viewport } from "./viewport";

const STILL = 4; // CSS pixels that a click may move
const NEAR = 6; // CSS pixels beside a marker that still mean it
const SHORTEST = 441; // frames of a loop

export interface GestureListener {
  seek(frame: number): void;
  /** What somebody means who clicks the ruler at a frame, give or take so many. */
  meant(frame: number, about: number): number;
  loop(start: number, end: number): void;
  /** Remembers loop and position; what is returned puts them back. */
  keep(): () => void;
  seen(): void;
}

interface Point {
  x: number;
  y: number;
}

/** What the only pointer that is down does. A click is a drag that did not move. */
interface Drag {
  moved(event: PointerEvent): void;
  clicked(): void;
  undo?(): void;
}

export class Gestures {
  private readonly fingers = new Map<number, Point>();
  private drag: Drag | null = null;
  private from = 0; // where the drag began, in CSS pixels
  private far = false;

  constructor(private readonly view: Viewport, private readonly listener: GestureListener) {}

  /** A waveform: click seeks, drag selects a loop. */
  lane(canvas: HTMLCanvasElement): void {
    this.listen(canvas, (down) => {
      const from = this.view.frame(place(canvas, down.clientX));
      return {
        moved: (move) => {
          const to = this.view.frame(place(canvas, move.clientX));
          if (Math.abs(to - from) >= SHORTEST) this.listener.loop(Math.min(from, to), Math.max(from, to));
        },
        clicked: () => this.listener.seek(from),
        undo: this.listener.keep(),
      };
    });
  }

  /** The ruler: click seeks, drag scrolls. */
  ruler(canvas: HTMLCanvasElement): void {
    this.listen(canvas, (down) => {
      let last = down.clientX;
      return {
        moved: (move) => {
          this.view.scroll(((last - move.clientX) / canvas.clientWidth) * this.view.frames);
          last = move.clientX;
          this.listener.seen();
        },
        clicked: () => {
          const about = (NEAR / canvas.clientWidth) * this.view.frames;
          this.listener.seek(this.listener.meant(this.view.frame(place(canvas, down.clientX)), about));
        },
      };
    });
  }

  private listen(canvas: HTMLCanvasElement, begin: (down: PointerEvent) => Drag): void {
    this.wheel(canvas);
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      this.cancel(); // a second pointer means something else
      this.fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (this.fingers.size > 1) return;
      this.drag = begin(event);
      this.from = event.clientX;
    });
    canvas.addEventListener("pointermove", (event) => this.move(canvas, event));
    canvas.addEventListener("pointerup", (event) => {
      this.fingers.delete(event.pointerId);
      if (!this.far) this.drag?.clicked();
      this.end();
    });
    canvas.addEventListener("pointercancel", (event) => {
      this.fingers.delete(event.pointerId);
      this.cancel();
    });
  }

  private move(canvas: HTMLCanvasElement, event: PointerEvent): void {
    if (!this.fingers.has(event.pointerId)) return;
    const before = [...this.fingers.values()];
    this.fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.fingers.size > 1) return this.pinch(canvas, before, [...this.fingers.values()]);
    this.far ||= Math.abs(event.clientX - this.from) > STILL;
    if (this.far) this.drag?.moved(event);
  }

  /** Keeps under two fingers what is there. */
  private pinch(canvas: HTMLCanvasElement, before: Point[], after: Point[]): void {
    const [start, end] = [middle(before), middle(after)];
    this.view.scroll(((start - end) / canvas.clientWidth) * this.view.frames);
    this.view.zoom(place(canvas, end), apart(before) / apart(after));
    this.listener.seen();
  }

  /** Ends a drag without effect. */
  private cancel(): void {
    if (this.far) this.drag?.undo?.();
    this.end();
  }

  private end(): void {
    this.drag = null;
    this.far = false;
  }

  private wheel(canvas: HTMLCanvasElement): void {
    canvas.addEventListener("wheel", (event) => {
      if (event.ctrlKey) this.view.zoom(place(canvas, event.clientX), Math.exp(event.deltaY / 300));
      else if (this.view.zoomed && (event.deltaX !== 0 || event.shiftKey)) {
        const pixels = event.deltaX || event.deltaY;
        this.view.scroll((pixels / canvas.clientWidth) * this.view.frames);
      } else return;
      event.preventDefault();
      this.listener.seen();
    }, { passive: false });
  }
}

function middle([one, other]: Point[]): number {
  return (one!.x + other!.x) / 2;
}

function apart([one, other]: Point[]): number {
  return Math.max(1, Math.hypot(one!.x - other!.x, one!.y - other!.y));
}

function place(canvas: HTMLCanvasElement, x: number): number {
  const box = canvas.getBoundingClientRect();
  return Math.max(0, Math.min(1, (x - box.left) / box.width));
}
