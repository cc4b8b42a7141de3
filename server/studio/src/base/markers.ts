/** Places in a song that somebody has named. Pure: each change makes a new list, in their order. */

export interface Marker {
  frame: number;
  name: string;
}

export const LONGEST_NAME = 60; // characters
const MOST = 100;
const SAME = 11_025; // frames: who marks a place so close to a marker means that one

/** One more, or, at a marker, that one less. */
export function withMarker(markers: Marker[], frame: number): Marker[] {
  const here = markers.find((marker) => Math.abs(marker.frame - frame) < SAME);
  if (here !== undefined) return without(markers, here.frame);
  if (markers.length >= MOST) return markers;
  return [...markers, { frame, name: freeName(markers) }].sort((a, b) => a.frame - b.frame);
}

export function without(markers: Marker[], frame: number): Marker[] {
  return markers.filter((marker) => marker.frame !== frame);
}

export function renamed(markers: Marker[], frame: number, name: string): Marker[] {
  const short = name.trim().slice(0, LONGEST_NAME);
  return markers.map((marker) => (marker.frame === frame ? { frame, name: short } : marker));
}

/** The next one on either side; when it plays, the one just passed counts as the one it is at. */
export function beside(markers: Marker[], frame: number, side: -1 | 1, moving: boolean): Marker | undefined {
  if (side > 0) return markers.find((marker) => marker.frame > frame);
  return markers.filter((marker) => marker.frame < frame - (moving ? SAME : 0)).at(-1);
}

/** What of something that was kept is a list of markers. */
export function markersOf(kept: unknown): Marker[] {
  return Array.isArray(kept) ? kept.filter(isMarker).slice(0, MOST) : [];
}

function isMarker(value: unknown): value is Marker {
  const marker = value as Partial<Marker> | null;
  return Number.isFinite(marker?.frame) && marker!.frame! >= 0 && typeof marker!.name === "string";
}

function freeName(markers: Marker[]): string {
  for (let number = 1; ; number++) {
    const name = `Marker ${number}`;
    if (!markers.some((marker) => marker.name === name)) return name;
  }
}
