/** The built mixer, as the audio thread runs it, without a browser: orders in, samples out. */

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";

const BLOCK = 22_050;
const QUANTUM = 128;
const RAMP = 256;
const dist = new URL("../../server/studio/dist/", import.meta.url);
const file = readdirSync(dist).find((name) => name.startsWith("mixer-"));

let Processor;
globalThis.AudioWorkletProcessor = class {
  port = {
    reports: [],
    spent: [],
    postMessage: (message) => {
      if (message.kind === "report") this.port.reports.push(message);
      else this.port.spent.push(...message.samples);
    },
  };
};
globalThis.registerProcessor = (_, processor) => (Processor = processor);
await import(new URL(file, dist));
await import(new URL(readdirSync(dist).find((name) => /^stretch-.*js$/.test(name)), dist));

/** A mixer with a song in it: `sample(track, frame)` is what the track has there. */
class Deck {
  constructor(tracks, frames, sample) {
    this.tracks = tracks;
    this.frames = frames;
    this.sample = sample;
    this.processor = new Processor({ processorOptions: { tracks } });
    this.serial = 0;
    this.apart = 0; // left and right are the same here
    this.order({ kind: "total", frames });
    this.order({ kind: "gains", gains: Array(tracks).fill(1) });
  }

  order(order) {
    this.processor.port.onmessage({ data: order });
  }

  put(block, names = [...Array(this.tracks).keys()]) {
    const samples = new Int16Array(BLOCK * 2 * names.length);
    for (let frame = 0; frame < BLOCK; frame++) {
      names.forEach((track, k) => {
        const value = this.sample(track, block * BLOCK + frame);
        samples[2 * (frame * names.length + k)] = value;
        samples[2 * (frame * names.length + k) + 1] = value;
      });
    }
    this.order({ kind: "layer", block, layer: { tracks: names, samples } });
  }

  putAll() {
    for (let block = 0; block * BLOCK < this.frames; block++) this.put(block);
    return this;
  }

  seek(frame) {
    this.order({ kind: "seek", frame, serial: ++this.serial });
  }

  /** The left channel of so many frames, in units of a 16-bit sample. */
  run(frames) {
    const found = [];
    while (found.length < frames) {
      const [left, right] = [new Float32Array(QUANTUM), new Float32Array(QUANTUM)];
      this.processor.process([], [[left, right]]);
      left.forEach((value, at) => assert.ok(Math.abs(value - right[at]) <= this.apart));
      found.push(...left);
    }
    return found.slice(0, frames).map((value) => value * 32_768);
  }

  /** Tempo and semitones; resolves when they are heard. */
  async bend(tempo, semitones) {
    this.apart = 1e-3;
    this.order({ kind: "bend", bend: { tempo, semitones } });
    await new Promise((resolve) => setTimeout(resolve, 100)); // the WebAssembly is made ready
    this.run(1024);
  }

  get last() {
    this.run(1024);
    return this.processor.port.reports.at(-1);
  }
}

const ramp = (_, frame) => (frame % 30_000) + 1;

test("nine tracks stay at one sample over ten seeks and fifty loops", () => {
  const clicks = [30_000, 70_000, 101_000];
  // Each track's click is a power of two: the sum says which tracks were there.
  const deck = new Deck(9, 6 * BLOCK, (track, frame) => (clicks.includes(frame) ? 16 << track : 0)).putAll();
  const whole = 16 * (2 ** 9 - 1);
  const heard = (samples) => samples.flatMap((value, at) => (value === 0 ? [] : [[at, value]]));
  deck.order({ kind: "play" });
  for (let turn = 0; turn < 10; turn++) {
    const click = clicks[turn % 3];
    deck.seek(click - 5000 - 37 * turn);
    const found = heard(deck.run(12_000));
    assert.equal(found.length, 1, `seek ${turn}`);
    assert.equal(found[0][1], whole);
  }
  deck.order({ kind: "loop", loop: { start: 69_001, end: 71_234 } });
  deck.seek(69_001);
  const found = heard(deck.run(52 * 2233 + 1000));
  assert.ok(found.length >= 51);
  found.slice(1, 51).forEach(([at, value], turn) => {
    assert.equal(at - found[turn][0], 2233, `loop ${turn}`);
    assert.equal(value, whole);
  });
});

test("a loop goes from its last frame to its first, within a block and across blocks", () => {
  for (const [start, end] of [[1000, 1777], [20_000, 50_001]]) {
    const deck = new Deck(1, 4 * BLOCK, (_, frame) => (frame % 30_000) + 1).putAll();
    deck.order({ kind: "loop", loop: { start, end } });
    deck.seek(start);
    deck.order({ kind: "play" });
    const found = deck.run(3 * (end - start));
    for (let i = RAMP; i < found.length; i++) {
      assert.equal(Math.round(found[i]), ramp(0, start + (i % (end - start))), `${start} + ${i}`);
    }
  }
});

test("what is missing is waited for, and nothing is left out", () => {
  const deck = new Deck(2, 4 * BLOCK, (track, frame) => (track ? 0 : ramp(0, frame)));
  deck.put(0);
  deck.put(1, [0]); // the second track is not final here
  deck.order({ kind: "play" });
  deck.run(2 * BLOCK);
  const { position, waiting } = deck.last;
  assert.ok(waiting);
  assert.ok(position <= BLOCK && position > BLOCK - 3 * RAMP, `${position}`);
  assert.equal(deck.last.position, position, "it stands still");
  deck.put(1, [1]);
  const found = deck.run(1000);
  for (let i = RAMP; i < 1000; i++) assert.equal(Math.round(found[i]), ramp(0, position + i));
  assert.ok(!deck.last.waiting);
});

test("a track that is not heard is not waited for", () => {
  const deck = new Deck(2, 2 * BLOCK, ramp);
  deck.put(0, [1]);
  deck.order({ kind: "gains", gains: [0, 1] });
  deck.order({ kind: "play" });
  deck.run(5000);
  const { position, waiting } = deck.last;
  assert.ok(!waiting && position > 5000);
});

test("play, pause, seek and gains make no step that clicks", () => {
  const deck = new Deck(1, 8 * BLOCK, () => 20_000).putAll();
  const steps = [];
  let before = 0;
  const listen = () => {
    for (const value of deck.run(4096)) {
      steps.push(Math.abs(value - before));
      before = value;
    }
  };
  for (const order of [
    { kind: "play" }, { kind: "seek", frame: 90_000, serial: 1 }, { kind: "gains", gains: [0.1] },
    { kind: "gains", gains: [2] }, { kind: "gains", gains: [0] }, { kind: "gains", gains: [1] },
    { kind: "pause" }, { kind: "play" },
  ]) {
    deck.order(order);
    listen();
  }
  assert.equal(Math.round(before), 20_000);
  assert.ok(Math.max(...steps) < 20_000 / 100, `${Math.max(...steps)}`);
});

test("a pause keeps the place to the sample", () => {
  const deck = new Deck(1, 4 * BLOCK, ramp).putAll();
  deck.order({ kind: "play" });
  deck.run(4096);
  deck.order({ kind: "pause" });
  const { position } = deck.last;
  assert.equal(deck.last.position, position);
  deck.order({ kind: "play" });
  const found = deck.run(1024);
  for (let i = RAMP; i < 1024; i++) assert.equal(Math.round(found[i]), ramp(0, position + i));
});

test("the song ends at its last frame", () => {
  const frames = BLOCK + 777;
  const deck = new Deck(1, frames, () => 1000).putAll();
  deck.order({ kind: "play" });
  const found = deck.run(2 * BLOCK);
  assert.equal(found.findLastIndex((value) => value !== 0), frames - 1);
  const { position, ended, waiting } = deck.last;
  assert.deepEqual([position, ended, waiting], [frames, true, false]);
});

test("who reads of a seek reads of no end that was before it", () => {
  const deck = new Deck(1, BLOCK, () => 1000).putAll();
  deck.order({ kind: "play" });
  deck.run(2 * BLOCK);
  assert.ok(deck.last.ended);
  deck.order({ kind: "loop", loop: null });
  assert.ok(deck.last.ended, "nothing but a seek or a start changes that");
  deck.seek(0);
  const { landed, ended } = deck.last;
  assert.deepEqual([landed, ended], [deck.serial, false]);
  deck.order({ kind: "play" });
  deck.run(2 * BLOCK);
  assert.ok(deck.last.ended);
});

test("a jump past the end, and the block under the needle taken away, are no accident", () => {
  const deck = new Deck(1, 2 * BLOCK, ramp).putAll();
  deck.order({ kind: "play" });
  deck.run(1000);
  deck.order({ kind: "drop", block: 0 });
  assert.deepEqual(deck.processor.port.spent.map((samples) => samples.length), [2 * BLOCK]);
  assert.ok(deck.last.waiting);
  deck.seek(99 * BLOCK);
  assert.ok(deck.last.ended);
  deck.seek(-5);
  assert.equal(deck.last.position, 0);
});

test("levels are each track's own, behind its gain", () => {
  const deck = new Deck(3, BLOCK, (track) => 8192 * track).putAll();
  deck.order({ kind: "gains", gains: [1, 2, 0] });
  deck.order({ kind: "play" });
  deck.run(4096);
  assert.deepEqual([...deck.last.levels], [0, 0.5, 0]);
});

test("a closed mixer lets go of everything", () => {
  const deck = new Deck(1, BLOCK, ramp).putAll();
  deck.order({ kind: "play" });
  deck.order({ kind: "close" });
  assert.equal(deck.processor.process([], [[new Float32Array(QUANTUM), new Float32Array(QUANTUM)]]), false);
});

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
