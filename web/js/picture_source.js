// Which picture flows into a node's input, before anything has run: the file that a Load Image node names, or what a
// node on the way already shows.

import { api } from "../../../scripts/api.js";

const DEEPEST = 30;

// The picture's address, or null when it cannot be known before the run.
export function pictureInto(node, input) {
  let [from, depth] = [origin(node, (slot) => slot.name === input), 0];
  while (from && depth++ < DEEPEST) {
    const file = from.widgets?.find((widget) => widget.name === "image" && typeof widget.value === "string");
    if (file?.value) return fileAddress(file.value);
    if (from.imgs?.length && from.imgs[0].src) return from.imgs[0].src;
    from = origin(from, (slot) => slot.type === "IMAGE" || slot.type === "*");
  }
  return null;
}

// The address of a picture in ComfyUI's folders: {filename, subfolder, type}.
export function address({ filename, subfolder = "", type = "input" }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
}

function fileAddress(name) {
  const [, path, , type] = name.match(/^(.*?)( \[(input|output|temp)\])?$/);
  const cut = path.lastIndexOf("/");
  return address({ filename: path.slice(cut + 1), subfolder: path.slice(0, Math.max(cut, 0)), type });
}

function origin(node, wanted) {
  const slot = node.inputs?.findIndex((candidate) => candidate.link != null && wanted(candidate)) ?? -1;
  return slot < 0 ? null : node.getInputNode(slot);
}
