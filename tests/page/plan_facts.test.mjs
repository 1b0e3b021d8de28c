import assert from "node:assert/strict";
import { test } from "node:test";

import { codePixels, codesOf, copiedPlan, copiedValue, valueText, withChange } from "../../js/plan_facts.mjs";

const TEXTS = { open: "open" };
const CODES = { name: "audio_codes", value: "AQD/+QAA", origin: "planner" }; // 1, 63999, 0
const BPM = { name: "bpm", value: 96, origin: "planner" };

test("audio codes are 16 bits each, the low byte first", () => {
  assert.deepEqual(codesOf(CODES.value), [1, 63999, 0]);
});

test("every code has a colour, and codes that differ in their first digits differ in it", () => {
  const pixels = codePixels([0, 1, 8, 64, 63999]);
  assert.equal(pixels.length, 4 * 5);
  assert.deepEqual([...pixels.slice(0, 8)], [40, 40, 40, 255, 68, 40, 40, 255]);
  assert.deepEqual([...pixels.slice(8, 20)], [40, 68, 40, 255, 40, 40, 68, 255, 236, 236, 236, 255]);
});

test("values are said in few words", () => {
  const said = (name, value) => valueText({ name, value, origin: "user" }, TEXTS);
  assert.equal(said("bpm", 96), "96");
  assert.equal(said("duration_seconds", 92.5), "92.5 s");
  assert.equal(said("key", null), "open");
  assert.equal(valueText(CODES, TEXTS), "3 (0.6 s)");
});

test("what is copied is the value, or the plan as changes", () => {
  assert.equal(copiedValue(CODES), "1, 63999, 0");
  assert.equal(copiedValue({ name: "lyrics", value: "[Verse]\nla", origin: "user" }), "[Verse]\nla");
  const plan = [BPM, { name: "key", value: null, origin: "auto" }, CODES];
  assert.deepEqual(JSON.parse(copiedPlan(plan)), { bpm: 96, audio_codes: [1, 63999, 0] });
});

test("a change is added to those that are there", () => {
  assert.equal(withChange("  ", BPM), '{\n  "bpm": 96\n}');
  assert.deepEqual(JSON.parse(withChange('{"key": null, "bpm": 80}', BPM)), { key: null, bpm: 96 });
});

test("nothing is added to what is not fields", () => {
  for (const changes of ["bpm 96", "[1]", "null", "3", '{"format": "ace_composer.blueprint", "songs": []}'])
    assert.equal(withChange(changes, BPM), null);
});
