import assert from "node:assert/strict";
import { test } from "node:test";

import { barSeconds, columnPeaks, snapped, spansOf, writtenOf } from "../../js/region_facts.mjs";

const SECONDS = { start: 10, end: 20, more_regions: "", unit: "seconds" };

test("a bar counts quarter notes, and is not known where tempo or signature are open", () => {
  assert.equal(barSeconds(120, "4/4"), 2);
  assert.equal(barSeconds(90, "6/8"), 2);
  assert.equal(barSeconds(0, "4/4"), 0);
  assert.equal(barSeconds(120, "auto"), 0);
});

test("widgets in seconds are spans, cut at the end of the recording", () => {
  assert.deepEqual(spansOf({ ...SECONDS, more_regions: "22.5 to 40; 50-60" }, 0, 30), [
    { start: 10, end: 20 },
    { start: 22.5, end: 30 },
  ]);
  assert.deepEqual(spansOf({ ...SECONDS, end: 0 }, 0, 30), [{ start: 10, end: 30 }]);
});

test("bars count from 1, and need a tempo", () => {
  assert.deepEqual(spansOf({ ...SECONDS, start: 5, end: 9, unit: "bars" }, 2, 30), [{ start: 8, end: 16 }]);
  assert.equal(spansOf({ ...SECONDS, unit: "bars" }, 0, 30), null);
});

test("what cannot be read is left alone", () => {
  assert.equal(spansOf({ ...SECONDS, more_regions: "chorus" }, 0, 30), null);
});

test("spans become the widgets they were read from", () => {
  for (const written of [
    { start: 3, end: 5, more_regions: "7-9", unit: "bars" },
    { start: 1.25, end: 0, more_regions: "", unit: "seconds" },
  ]) {
    const { unit, ...widgets } = written;
    assert.deepEqual(writtenOf(spansOf(written, 2, 30), unit, 2, 30), widgets);
  }
});

test("the earliest span comes first, in hundredths", () => {
  const spans = [
    { start: 8.004, end: 9 },
    { start: 1, end: 2.006 },
  ];
  assert.deepEqual(writtenOf(spans, "seconds", 0, 30), { start: 1, end: 2.01, more_regions: "8-9" });
});

test("a snapped span is at least one step and stays inside", () => {
  assert.deepEqual(snapped({ start: 3.1, end: 3.2 }, 2, 30), { start: 4, end: 6 });
  assert.deepEqual(snapped({ start: 29.5, end: 31 }, 2, 30), { start: 28, end: 30 });
  assert.deepEqual(snapped({ start: 3.1, end: 3.2 }, 0, 30), { start: 3.1, end: 3.2 });
});

test("no peak is missed, in long and in short recordings", () => {
  assert.deepEqual([...columnPeaks(Float32Array.of(0, -1, 0, 0.5), 2)], [1, 0.5]);
  assert.deepEqual([...columnPeaks(Float32Array.of(1), 3)], [1, 1, 1]);
});
