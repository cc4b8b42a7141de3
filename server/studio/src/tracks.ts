/** The tracks a job can have: their order, what they are called and how they look. */

export type Tone =
  | "rose" | "amber" | "violet" | "teal" | "orange" | "blue" | "green" | "red" | "grey";

export interface TrackKind {
  name: string;
  label: string;
  tone: Tone;
  /** Heard from the start; the others say the same song a second time. */
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

export function kindOf(name: string): TrackKind {
  return KINDS.find((one) => one.name === name) ?? kind(name, name, "grey", true);
}

/** The same order everywhere; names of others come last. */
export function inOrder(names: string[]): string[] {
  const place = (name: string): number => (KINDS.findIndex((one) => one.name === name) + 1) || KINDS.length + 1;
  return [...names].sort((one, other) => place(one) - place(other));
}
