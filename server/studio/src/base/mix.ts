/** How a song is set: gains, mutes, solos, loop, original. Pure: each change makes a new one. */

import { STRAIGHT, type Bend } from "../mixer/bend";
import type { Loop } from "../mixer/mixer";
import { heardAtFirst, ORIGINAL } from "./tracks";

export const LOWEST = -48; // dB of the fader's bottom, which is silence
export const HIGHEST = 6;

export interface Mix {
  tracks: string[];
  /** dB, one a track. */
  gains: Record<string, number>;
  muted: string[];
  soloed: string[];
  original: boolean;
  loop: Loop | null;
  bend: Bend;
}

export function mixOf(tracks: string[]): Mix {
  const heard = heardAtFirst(tracks);
  const muted = tracks.filter((name) => !heard.includes(name));
  return { tracks, gains: {}, muted, soloed: [], original: false, loop: null, bend: STRAIGHT };
}

export function withGain(mix: Mix, track: string, decibels: number): Mix {
  const gain = Math.max(LOWEST, Math.min(HIGHEST, decibels));
  return { ...mix, gains: { ...mix.gains, [track]: gain } };
}

export function withMute(mix: Mix, track: string): Mix {
  return { ...mix, muted: toggled(mix.muted, track), original: false };
}

/** Alone, or beside the others that are soloed. */
export function withSolo(mix: Mix, track: string, beside: boolean): Mix {
  if (beside) return { ...mix, soloed: toggled(mix.soloed, track), original: false };
  const alone = mix.soloed.length === 1 && mix.soloed[0] === track;
  return { ...mix, soloed: alone ? [] : [track], original: false };
}

/** Every fader, mute and solo as at the start. */
export function reset(mix: Mix): Mix {
  return { ...mixOf(mix.tracks), loop: mix.loop, bend: mix.bend };
}

/** The tracks that sound. */
export function heardOf(mix: Mix): string[] {
  if (mix.original) return [ORIGINAL];
  const chosen = mix.soloed.length > 0
    ? mix.tracks.filter((name) => mix.soloed.includes(name))
    : mix.tracks.filter((name) => !mix.muted.includes(name));
  return chosen.filter((name) => decibelsOf(mix, name) > LOWEST);
}

/** Linear gains in the order of the tracks. */
export function gainsOf(mix: Mix): number[] {
  const heard = heardOf(mix);
  return mix.tracks.map((name) => {
    if (!heard.includes(name)) return 0;
    return mix.original ? 1 : 10 ** (decibelsOf(mix, name) / 20);
  });
}

export function decibelsOf(mix: Mix, track: string): number {
  return mix.gains[track] ?? 0;
}

function toggled(names: string[], name: string): string[] {
  return names.includes(name) ? names.filter((other) => other !== name) : [...names, name];
}
