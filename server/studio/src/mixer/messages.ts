/** What the page and the mixer say to each other, and how the mixer takes it. */

import { straight, type Bend } from "./bend";
import type { Layer, Loop, Mixer } from "./mixer";

/** To the mixer. Frames count from the song's beginning. */
export type Order =
  | { kind: "layer"; block: number; layer: Layer }
  | { kind: "drop"; block: number }
  | { kind: "gains"; gains: number[] }
  | { kind: "total"; frames: number }
  | { kind: "loop"; loop: Loop | null }
  | { kind: "bend"; bend: Bend }
  | { kind: "seek"; frame: number; serial: number }
  | { kind: "play" }
  | { kind: "pause" }
  | { kind: "close" };

/** From the mixer, some forty times a second. */
export interface Report {
  kind: "report";
  position: number;
  ended: boolean;
  waiting: boolean;
  levels: Float32Array;
  /** The last seek that this position knows of. */
  landed: number;
}

/** From the mixer: samples that it has no use for any more. */
export interface Spent {
  kind: "spent";
  samples: Int16Array[];
}

/** From the mixer: tempo and pitch cannot be changed here. */
export interface Unbent {
  kind: "unbent";
}

export type Message = Report | Spent | Unbent;

/** Carries an order out; returns samples that are not needed any more. */
export function obey(mixer: Mixer, order: Order): Int16Array[] {
  if (order.kind === "drop") return mixer.drop(order.block);
  carryOut(mixer, order);
  return [];
}

function carryOut(mixer: Mixer, order: Exclude<Order, { kind: "drop" }>): void {
  switch (order.kind) {
    case "layer":
      return mixer.put(order.block, order.layer);
    case "gains":
      return mixer.setGains(order.gains);
    case "total":
      mixer.total = order.frames;
      return;
    case "loop":
      return mixer.setLoop(order.loop);
    case "bend":
      return mixer.setBend(order.bend);
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

/** Gives a mixer its stretcher when it first needs one, whose script must be there by then. */
export async function equip(mixer: Mixer, order: Order): Promise<void> {
  if (order.kind !== "bend" || straight(order.bend) || mixer.pace.equipping) return;
  mixer.pace.equipping = true;
  try {
    mixer.pace.attach(await globalThis.openStretch!());
  } catch (error) {
    mixer.pace.equipping = false;
    throw error;
  }
}

export function report(mixer: Mixer): Report {
  const { position, ended, waiting, landed } = mixer;
  return { kind: "report", position, ended, waiting, landed, levels: mixer.takeLevels() };
}
