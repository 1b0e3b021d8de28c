// Rules for what runs in ComfyUI's page.
import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["js/vendor/"] },
  js.configs.recommended,
  {
    languageOptions: { globals: globals.browser },
    rules: {
      eqeqeq: "error",
      "no-restricted-properties": [
        "error",
        { property: "innerHTML", message: "Texts come from files: use textContent." },
        { property: "outerHTML", message: "Texts come from files: use textContent." },
      ],
      "no-var": "error",
      "prefer-const": "error",
    },
  },
  {
    files: ["js/**"],
    ignores: ["js/host.mjs", "js/audio_player.js", "js/saved_graphs.js"],
    rules: {
      "no-restricted-imports": [
        "error",
        { patterns: [{ group: ["**/scripts/*"], message: "js/host.mjs is all that knows ComfyUI's page." }] },
      ],
      "no-restricted-globals": ["error", "app", "LiteGraph", "comfyAPI"],
    },
  },
  { files: ["tests/page/**"], languageOptions: { globals: globals.node } },
];
