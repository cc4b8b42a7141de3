/** The mixer at another tempo or key: what is heard, and where it says that it is. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { BLOCK, Deck, RAMP, ramp } from "./deck.mjs";

const sine = (hertz) => (_, frame) => Math.round(8000 * Math.sin((2 * Math.PI * hertz * frame) / 44_100));

/** Of a sine, from its rising zeros. */
function frequency(samples) {
  const rising = [];
  for (let i = 1; i < samples.length; i++) {
    if (samples[i - 1] < 0 && samples[i] >= 0) rising.push(i - samples[i] / (samples[i] - samples[i - 1]));
  }
  return (44_100 * (rising.length - 1)) / (rising.at(-1) - rising[0]);
}

test("at tempo one and no shift every sample is as it was, before and after another tempo", async () => {
  const deck = new Deck(1, 40 * BLOCK, ramp).putAll();
  await deck.bend(1, 0);
  deck.order({ kind: "play" });
  const first = deck.run(8192);
  for (let i = RAMP; i < first.length; i++) assert.equal(first[i], ramp(0, i));
  await deck.bend(0.8, 3);
  deck.run(30_720);
  await deck.bend(1, 0);
  deck.run(4096);
  const { position } = deck.last;
  const found = deck.run(60_000);
  found.forEach((value, i) => assert.equal(value, ramp(0, position + i), `${i}`));
});

for (const [tempo, semitones] of [[0.5, 0], [0.8, 0], [1.25, 0], [2, 0], [1, 12], [1, -5], [0.7, 7]]) {
  test(`tempo ${tempo} and ${semitones} semitones, each without the other`, async () => {
    const deck = new Deck(1, 30 * BLOCK, sine(440)).putAll();
    await deck.bend(tempo, semitones);
    deck.order({ kind: "play" });
    deck.run(20_480);
    const { position } = deck.last;
    const frames = 88_064;
    const found = deck.run(frames - 1024); // asking where it is takes 1024 more
    assert.ok(Math.abs(deck.last.position - position - tempo * frames) < 2, "the song's own time");
    const expected = 440 * 2 ** (semitones / 12);
    assert.ok(Math.abs(frequency(found) / expected - 1) < 0.003, `${frequency(found)}`);
    const loud = Math.sqrt(found.reduce((sum, value) => sum + value * value, 0) / found.length);
    assert.ok(Math.abs(loud / (8000 / Math.SQRT2) - 1) < 0.1, `${loud}`);
  });
}

/** Silence, and a burst of a sine at each of these frames. */
const bursts = (...starts) => (_, frame) =>
  (starts.some((start) => frame >= start && frame < start + 4410) ? sine(1000)(0, frame) : 0);

/** Where a silence of 100 ms ends. */
function onsets(samples) {
  const found = [];
  let quiet = 4410;
  samples.forEach((value, at) => {
    if (Math.abs(value) < 2500) return quiet++;
    if (quiet > 4000) found.push(at);
    quiet = 0;
  });
  return found;
}

for (const tempo of [0.5, 0.8, 1.5, 2]) {
  test(`the position at tempo ${tempo} is what is heard, after a seek and at the end`, async () => {
    const deck = new Deck(1, 12 * BLOCK, bursts(88_200)).putAll();
    await deck.bend(tempo, 0);
    deck.seek(66_150);
    deck.order({ kind: "play" });
    const [onset] = onsets(deck.run(88_200));
    const late = onset - 22_050 / tempo;
    assert.ok(Math.abs(late) < 900, `${late} frames off`); // a spectrum smears by some milliseconds
    deck.seek(11 * BLOCK);
    const length = BLOCK / tempo;
    deck.run(Math.floor(length / 1024 - 2) * 1024);
    assert.ok(!deck.last.ended);
    deck.run(3072);
    const { ended, position } = deck.last;
    assert.deepEqual([ended, position], [true, 12 * BLOCK]);
  });

  test(`a loop at tempo ${tempo} turns where it should, again and again`, async () => {
    const [start, end] = [30_000, 52_051];
    const deck = new Deck(1, 6 * BLOCK, bursts(35_000)).putAll();
    await deck.bend(tempo, 0);
    deck.order({ kind: "loop", loop: { start, end } });
    deck.seek(start);
    deck.order({ kind: "play" });
    const turn = (end - start) / tempo;
    const found = onsets(deck.run(Math.ceil(21.5 * turn)));
    assert.ok(found.length >= 20, `${found.length}`);
    const mean = (found[19] - found[1]) / 18;
    assert.ok(Math.abs(mean - turn) < 30, `${mean} for ${turn}`);
    for (let look = 0; look < 60; look++) {
      const { position } = deck.last;
      assert.ok(position >= start && position < end, `${position}`);
    }
  });
}

test("a loop set behind what has been read already is kept all the same", async () => {
  const deck = new Deck(1, 8 * BLOCK, ramp).putAll();
  await deck.bend(2, 0);
  deck.order({ kind: "play" });
  deck.run(30_720);
  const { position } = deck.last;
  deck.order({ kind: "loop", loop: { start: 20_000, end: Math.ceil(position) + 3000 } });
  deck.run(8192);
  assert.ok(deck.last.position < position + 3000);
});

test("bent sound waits for what is missing, pauses, and leaves nothing out", async () => {
  const deck = new Deck(1, 6 * BLOCK, sine(440));
  deck.put(0);
  await deck.bend(0.9, 0);
  deck.order({ kind: "play" });
  deck.run(43_008);
  const { position, waiting } = deck.last;
  assert.ok(waiting && position < BLOCK && position > BLOCK - 12_000, `${position}`);
  assert.equal(deck.last.position, position, "it stands still");
  for (let block = 1; block < 6; block++) deck.put(block);
  deck.run(4096);
  assert.ok(Math.abs(deck.last.position - position - 0.9 * 5120) < RAMP);
  deck.order({ kind: "pause" });
  deck.run(1024);
  const paused = deck.last.position;
  assert.equal(deck.last.position, paused);
  deck.order({ kind: "play" });
  deck.run(1024);
  assert.ok(Math.abs(deck.last.position - paused - 0.9 * 2048) < RAMP);
});

test("switching to another tempo and back makes no click", async () => {
  const deck = new Deck(1, 30 * BLOCK, sine(100)).putAll();
  deck.apart = 1e-3;
  deck.order({ kind: "play" });
  deck.run(8192);
  let before = deck.run(128).at(-1);
  let most = 0;
  const listen = () => {
    for (const value of deck.run(22_016)) {
      most = Math.max(most, Math.abs(value - before));
      before = value;
    }
  };
  for (const [tempo, semitones] of [[0.8, 0], [0.85, 0], [0.85, 2], [1, 0]]) {
    deck.order({ kind: "bend", bend: { tempo, semitones } });
    listen();
    await new Promise((resolve) => setTimeout(resolve, 100));
    listen();
  }
  assert.ok(most < 8000 * 0.04, `${most}`); // the sine's own steepest step is 0.0142 of its height
});
