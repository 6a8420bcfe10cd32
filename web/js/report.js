// Shows on a node what it reported in its last run. ComfyUI itself shows texts on its Preview node only.

import { app } from "../../../scripts/app.js";

const NODES = new Set(["AnimateX_ConvertWeights", "AnimateX_PoseReport", "AnimateX_Preflight"]);
const NAME = "animatex_report";
const EMPTY = { en: "The report comes here when the node has run.", zh: "运行后，报告显示在这里。" };
const STYLE = `
.animatex-report { box-sizing: border-box; overflow: auto; padding: 6px 8px; white-space: pre-wrap; user-select: text;
  font: 12px/1.4 sans-serif; color: var(--input-text, #ddd); background: var(--comfy-input-bg, #222);
  border-radius: 4px; }
.animatex-report:empty::before { content: attr(data-empty); opacity: 0.6; }`;

function addReport(node) {
  const box = document.createElement("div");
  box.className = "animatex-report";
  box.dataset.empty = EMPTY[app.extensionManager?.setting?.get("Comfy.Locale")] ?? EMPTY.en;
  box.addEventListener("wheel", (event) => box.scrollHeight > box.clientHeight && event.stopPropagation());
  const widget = node.addDOMWidget(NAME, "animatex_text", box, {
    serialize: false, // not part of what is sent
    getValue: () => box.textContent,
    setValue: (text) => (box.textContent = text ?? ""),
    getMinHeight: () => 120,
    hideOnZoom: false,
  });
  widget.serialize = false; // nor of what is saved
  const [width, height] = node.computeSize();
  node.setSize([Math.max(width, node.size[0]), Math.max(height, node.size[1])]);
  const { onExecuted } = node;
  node.onExecuted = function (output, ...more) {
    if (output?.text) widget.value = [output.text].flat().join("\n");
    return onExecuted?.call(this, output, ...more);
  };
}

app.registerExtension({
  name: "AnimateX.Report",
  init() {
    const style = document.createElement("style");
    style.textContent = STYLE;
    document.head.append(style);
  },
  nodeCreated(node) {
    if (NODES.has(node.comfyClass)) addReport(node);
  },
});
