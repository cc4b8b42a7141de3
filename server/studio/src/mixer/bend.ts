/** How a song is bent: its tempo and its pitch, each without the other. Pure. */

export interface Bend {
  /** 1 is as recorded, 2 twice as fast. */
  tempo: number;
  semitones: number;
}

export const STRAIGHT: Bend = { tempo: 1, semitones: 0 };
export const SLOWEST = 0.5;
export const FASTEST = 2;
export const WIDEST = 12; // semitones up and down
const TEMPO_STEP = 0.05;

export function straight(bend: Bend): boolean {
  return bend.tempo === 1 && bend.semitones === 0;
}

/** So many steps faster; exact hundredths, so that the way back ends where it began. */
export function withTempo(bend: Bend, steps: number): Bend {
  const tempo = Math.round(100 * (bend.tempo + steps * TEMPO_STEP)) / 100;
  return { ...bend, tempo: Math.max(SLOWEST, Math.min(FASTEST, tempo)) };
}

/** So many semitones higher. */
export function withPitch(bend: Bend, steps: number): Bend {
  return { ...bend, semitones: Math.max(-WIDEST, Math.min(WIDEST, bend.semitones + steps)) };
}
