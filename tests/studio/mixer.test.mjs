/** The mixer: orders in, samples out. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { BLOCK, Deck, QUANTUM, RAMP, ramp } from "./deck.mjs";

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
  deck.put(2);
  const found = deck.run(1000);
  for (let i = RAMP; i < 1000; i++) assert.equal(Math.round(found[i]), ramp(0, position + i));
  assert.ok(!deck.last.waiting);
});

test("after a stall it goes on with a second of samples in hand, or with all that there is", () => {
  const deck = new Deck(1, 4 * BLOCK, ramp);
  deck.put(0);
  deck.order({ kind: "play" });
  assert.ok(deck.run(1000).some((value) => value > 0), "it begins with what there is");
  deck.run(2 * BLOCK);
  const { position } = deck.last;
  deck.put(1);
  deck.run(BLOCK);
  assert.deepEqual([deck.last.waiting, deck.last.position], [true, position], "half a second is too little");
  deck.put(2);
  deck.run(1024);
  assert.ok(!deck.last.waiting);
  deck.run(3 * BLOCK);
  assert.ok(deck.last.waiting, "the next stall");
  deck.put(3);
  deck.run(1024);
  assert.ok(!deck.last.waiting, "the song has no more");
});

test("what is sought or started after a stall begins as soon as it is there", () => {
  for (const again of [(deck) => deck.seek(0), (deck) => ["pause", "play"].map((kind) => deck.order({ kind }))]) {
    const deck = new Deck(1, 8 * BLOCK, ramp);
    deck.put(0);
    deck.order({ kind: "play" });
    deck.run(2 * BLOCK);
    assert.ok(deck.last.waiting);
    again(deck);
    deck.put(1);
    deck.run(1024);
    assert.ok(!deck.last.waiting);
  }
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
