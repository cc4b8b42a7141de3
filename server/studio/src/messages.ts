/** What the page and the mixer say to each other, and how the mixer takes it. */

import type { Layer, Loop, Mixer } from "./mixer";

/** To the mixer. Frames count from the song's beginning. */
export type Order =
  | { kind: "layer"; block: number; layer: Layer }
  | { kind: "drop"; block: number }
  | { kind: "gains"; gains: number[] }
  | { kind: "total"; frames: number }
  | { kind: "loop"; loop: Loop | null }
  | { kind: "seek"; frame: number; serial: number }
  | { kind: "play" }
  | { kind: "pause" }
  | { kind: "close" };

/** From the mixer, some forty times a second. */
export interface Report {
  position: number;
  ended: boolean;
  waiting: boolean;
  levels: Float32Array;
  /** The last seek that this position knows of. */
  landed: number;
}

export function obey(mixer: Mixer, order: Order): void {
  switch (order.kind) {
    case "layer":
      return mixer.put(order.block, order.layer);
    case "drop":
      return mixer.drop(order.block);
    case "gains":
      return mixer.setGains(order.gains);
    case "total":
      mixer.total = order.frames;
      return;
    case "loop":
      mixer.loop = order.loop;
      return;
    case "seek":
      return mixer.seek(order.frame, order.serial);
    case "play":
      return mixer.play();
    case "pause":
      return mixer.pause();
    case "close":
      return mixer.close();
  }
}

export function report(mixer: Mixer): Report {
  const { position, ended, waiting, landed } = mixer;
  return { position, ended, waiting, landed, levels: mixer.takeLevels() };
}
