import assert from "node:assert/strict";
import { test } from "node:test";

import {
  clock,
  facts,
  label,
  numbersText,
  peaksOf,
  shuffled,
  usableSeed,
  volumes,
  wavePath,
} from "../../js/take_facts.mjs";

const TEXTS = { score: "score", seed: "seed" };
const TAKE = { number: 3, loudness: -14.25, seed: "42", score: 0.8, name: null, peaks: "", seconds: 10 };

test("all takes are as loud as the quietest, and unmeasured ones keep their level", () => {
  const levels = volumes([{ loudness: -10 }, { loudness: -16 }, { loudness: null }]);
  assert.deepEqual(
    levels.map((level) => Math.round(1000 * level)),
    [501, 1000, 1000],
  );
});

test("an order has every take once, and depends on the random numbers alone", () => {
  const numbers = [0.9, 0.1, 0.5];
  assert.deepEqual(
    shuffled(4, () => numbers.shift()),
    [2, 1, 0, 3],
  );
  assert.deepEqual(
    shuffled(50).toSorted((one, other) => one - other),
    shuffled(50, () => 0.999),
  );
});

test("a wave is as high as its peaks, above and below", () => {
  assert.deepEqual([...peaksOf("AP8=")], [0, 255]);
  assert.equal(wavePath(peaksOf("AP8=")), "M0 255L1 0L1 511L0 256Z");
});

test("times and lists of numbers are short", () => {
  assert.equal(clock(65.9), "1:05");
  assert.equal(numbersText(new Set([10, 2])), "2, 10");
});

test("a take says what is known of it, and nothing else", () => {
  assert.equal(facts(TAKE, TEXTS), "score 0.80 · seed 42 · -14.3 LUFS");
  assert.equal(facts({ ...TAKE, score: null, seed: null, loudness: null, name: "bass" }, TEXTS), "bass");
});

test("blind takes are letters by their place", () => {
  assert.equal(label(TAKE, 0, true), "A");
  assert.equal(label(TAKE, 0, false), "3");
});

test("a seed that JavaScript would round is not offered", () => {
  assert.ok(usableSeed(TAKE));
  assert.ok(!usableSeed({ ...TAKE, seed: "18446744073709551615" }));
  assert.ok(!usableSeed({ ...TAKE, seed: null }));
});
