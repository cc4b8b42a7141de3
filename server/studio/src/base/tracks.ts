/** The tracks a job can have: their order, what they are called and how they look. */

export type Tone =
  | "rose" | "amber" | "violet" | "teal" | "orange" | "blue" | "green" | "red" | "grey";

export interface TrackKind {
  name: string;
  label: string;
  tone: Tone;
  /** It may be heard from the start; the others say the same song a second time. */
  heard: boolean;
  /** It has a row of its own. */
  shown: boolean;
}

const kind = (name: string, label: string, tone: Tone, heard: boolean, shown = true): TrackKind => ({
  name, label, tone, heard, shown,
});

/** The song as it came in: a track like the others, but heard instead of them. */
export const ORIGINAL = "mix";

const KINDS = [
  kind("vocals", "Vocals", "rose", true),
  kind("instrumental", "Instrumental", "teal", true),
  kind("drums", "Drums", "amber", true),
  kind("bass", "Bass", "violet", true),
  kind("other", "Other", "teal", true),
  kind("guitar", "Guitar", "orange", true),
  kind("piano", "Piano", "blue", true),
  kind("harmonic", "Harmonic", "green", false),
  kind("percussive", "Percussive", "red", false),
  kind("main", "Main", "grey", false),
  kind("main_harmonic", "Main harmonic", "grey", false),
  kind("main_percussive", "Main percussive", "grey", false),
  kind(ORIGINAL, "Original", "grey", false, false),
];

/** What `POST /process` makes, and the song itself. */
export const PIPELINE_TRACKS = [
  "vocals", "drums", "bass", "other", "harmonic", "percussive", "main", "main_harmonic",
  "main_percussive", ORIGINAL,
];

/** The stems of a stem file, which are all of the song. */
export const FOUR = ["vocals", "drums", "bass", "other"];
const PARTS_OF_OTHER = ["guitar", "piano"];
/** What models tell apart of a track that others have whole. */
const PARTS: Record<string, string[]> = {
  vocals: ["lead", "backing", "lead_vocals", "backing_vocals"],
  instrumental: ["drums", "bass", "other", ...PARTS_OF_OTHER],
  drums: ["kick", "snare", "toms", "hh", "hihat", "ride", "crash", "cymbals"],
};

/**
 * The tracks that are heard from the start: such as are all of the song, each sound once, where a job
 * has such tracks; else all but the parts of others.
 */
export function heardAtFirst(tracks: string[]): string[] {
  if (FOUR.every((name) => tracks.includes(name))) return among(tracks, [...FOUR, ...PARTS_OF_OTHER]);
  const pair = ["vocals", "instrumental"];
  if (pair.every((name) => tracks.includes(name))) return pair;
  const inside = Object.entries(PARTS).flatMap(([whole, parts]) => (tracks.includes(whole) ? partsOf(parts) : []));
  return tracks.filter((name) => kindOf(name).heard && !inside.includes(name));
}

/** These, and the parts of these. */
function partsOf(names: string[]): string[] {
  return names.flatMap((name) => [name, ...partsOf(PARTS[name] ?? [])]);
}

function among(tracks: string[], names: string[]): string[] {
  return tracks.filter((name) => names.includes(name));
}

export function kindOf(name: string): TrackKind {
  return KINDS.find((one) => one.name === name) ?? kind(name, name, "grey", true);
}

/** The same order everywhere; names of others come last. */
export function inOrder(names: string[]): string[] {
  const place = (name: string): number => (KINDS.findIndex((one) => one.name === name) + 1) || KINDS.length + 1;
  return [...names].sort((one, other) => place(one) - place(other));
}
