// The canvas of "Place Joints by Hand": the character's picture with a skeleton to drag.

import { app } from "../../../scripts/app.js";
import { Joints } from "./joints.js";
import { address, pictureInto } from "./picture_source.js";

const WIDGET = "ANIMATEX_JOINTS";
const GRAB = 14; // pixels of the screen around a joint
const EDGE = 6; // pixels of the canvas between its border and a joint that lies beyond it
const MARGIN = 0.04; // of the canvas, so that joints a little outside can be placed
const LOOK_AGAIN = 400; // milliseconds between looks at which picture is connected
const HINT = "Drag joints. Shift: the whole figure (wheel: size). Alt: with what hangs from it. Right-click: not there.";
const STYLE = `
.animatex-joints { position: relative; display: flex; flex-direction: column; gap: 4px; width: 100%; height: 100%; min-height: 360px;
  outline: none; font: 11px sans-serif; color: #ccc; }
.animatex-joints canvas { flex: 1 1 0; min-height: 0; width: 100%; background: #16181c; border-radius: 4px;
  touch-action: none; }
.animatex-joints .bar { display: flex; flex-wrap: wrap; gap: 3px; align-items: center; }
.animatex-joints button { font: inherit; color: #ddd; background: #30343c; border: 1px solid #4a505c;
  border-radius: 4px; padding: 2px 6px; cursor: pointer; }
.animatex-joints button:disabled { opacity: 0.4; cursor: default; }
.animatex-joints button[aria-pressed="true"] { text-decoration: line-through; color: #ff9a90; border-color: #a5473f; }
.animatex-joints .hint { color: #8f96a3; }
.animatex-joints textarea { position: absolute; width: 1px; height: 1px; opacity: 0; pointer-events: none; }
`;

class JointsCanvas {
  constructor(node, spec, changed) {
    this.node = node;
    this.changed = changed;
    this.joints = new Joints(spec);
    this.picture = null; // the loaded image, once there
    this.wanted = null; // its address
    this.executed = null; // {address, instead}: what the last run was given, and what was connected then
    this.drag = null;
    this.hover = -1;
    this.build();
    this.timer = setInterval(() => this.look(), LOOK_AGAIN);
    this.look();
  }

  build() {
    this.canvas = document.createElement("canvas");
    this.undoButton = button("Undo", () => this.step("undo"));
    this.redoButton = button("Redo", () => this.step("redo"));
    const reset = button("Reset", () => this.change(() => this.joints.clear()));
    const label = document.createElement("span");
    label.textContent = "Does not exist:";
    this.parts = this.joints.spec.buttons.map((name) => {
      return button(name, () => this.change(() => this.joints.toggle(name)));
    });
    this.hint = document.createElement("div");
    this.hint.className = "hint";
    this.hint.textContent = HINT;
    this.root = document.createElement("div");
    this.root.className = "animatex-joints";
    this.root.dataset.captureWheel = "true"; // ComfyUI then leaves the wheel to the canvas while it has the focus
    // ComfyUI takes Ctrl+Z for the whole graph, and Delete for the node, unless the focus is in a text field.
    this.keys = document.createElement("textarea");
    this.keys.readOnly = true;
    this.keys.setAttribute("aria-label", "joints");
    const bars = [bar(this.undoButton, this.redoButton, reset), bar(label, ...this.parts)];
    this.root.append(...bars, this.canvas, this.hint, this.keys);
    this.listen();
  }

  listen() {
    const on = (name, handler) => this.canvas.addEventListener(name, handler);
    on("pointerdown", (event) => this.press(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.release(event));
    on("pointercancel", (event) => this.release(event));
    on("pointerleave", () => this.point(-1));
    on("contextmenu", (event) => swallow(event));
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.keys.addEventListener("keydown", (event) => this.key(event));
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.canvas);
  }

  remove() {
    clearInterval(this.timer);
    this.resized.disconnect();
  }

  // --- the picture

  look() {
    const connected = pictureInto(this.node, "image");
    const known = this.executed && this.executed.instead === connected ? this.executed.address : connected;
    if (known !== this.wanted) this.load(known);
    const guided = this.node.inputs?.some((slot) => slot.link != null && ["mask", "detected_pose"].includes(slot.name));
    if (this.joints.base && !guided) {
      this.joints.base = null;
      this.draw();
    }
  }

  load(address) {
    this.wanted = address;
    this.picture = null;
    this.draw();
    if (!address) return;
    const image = new Image();
    image.onload = () => {
      if (this.wanted !== address) return;
      this.picture = image;
      this.draw();
    };
    image.src = address;
  }

  // What a run tells: the picture that it was given, and the figure that it stood the joints on.
  ran(output) {
    const picture = output?.animatex_picture?.[0];
    if (picture) this.executed = { address: address(picture), instead: pictureInto(this.node, "image") };
    if (output?.animatex_base) this.joints.base = JSON.parse(output.animatex_base[0]);
    this.look();
    this.draw();
  }

  get size() {
    return this.picture ? [this.picture.naturalWidth, this.picture.naturalHeight] : [512, 768];
  }

  // --- places: fractions of the picture and pixels of the canvas

  frame() {
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    const [wide, tall] = this.size;
    const scale = Math.min((width * (1 - 2 * MARGIN)) / wide, (height * (1 - 2 * MARGIN)) / tall);
    return { x: (width - wide * scale) / 2, y: (height - tall * scale) / 2, width: wide * scale, height: tall * scale };
  }

  // The graph may be zoomed, so pixels of the screen are not those of the canvas.
  at(event) {
    const seen = this.canvas.getBoundingClientRect();
    const frame = this.frame();
    const zoom = seen.width / this.canvas.clientWidth || 1;
    const x = ((event.clientX - seen.left) / zoom - frame.x) / frame.width;
    const y = ((event.clientY - seen.top) / zoom - frame.y) / frame.height;
    return { x, y, reach: GRAB / Math.min(zoom, 1), frame };
  }

  // The joints; what lies beyond the canvas waits at its border, where it can be taken hold of.
  shown() {
    const frame = this.frame();
    const within = (value, start, length, whole) => {
      return Math.min(Math.max(value, (EDGE - start) / length), (whole - EDGE - start) / length);
    };
    return this.joints.figure(...this.size).map(({ x, y, kind }) => ({
      x: within(x, frame.x, frame.width, this.canvas.clientWidth),
      y: within(y, frame.y, frame.height, this.canvas.clientHeight),
      kind,
    }));
  }

  nearest({ x, y, reach, frame }, absentToo) {
    let [best, found] = [reach, -1];
    this.shown().forEach((joint, i) => {
      const away = Math.hypot((joint.x - x) * frame.width, (joint.y - y) * frame.height);
      if (away < best && (absentToo || joint.kind !== "absent")) [best, found] = [away, i];
    });
    return found;
  }

  // --- editing

  press(event) {
    swallow(event);
    this.keys.focus({ preventScroll: true });
    const place = this.at(event);
    const joint = this.nearest(place, event.button === 2);
    if (event.button === 2 && joint >= 0) this.change(() => this.joints.toggleJoint(joint));
    if (event.button !== 0 || (joint < 0 && !event.shiftKey)) return;
    const figure = event.shiftKey ? this.joints.figure(...this.size) : this.shown();
    const moved = event.shiftKey ? figure.map((_, i) => i) : event.altKey ? this.joints.branch(joint) : [joint];
    this.drag = { from: place, start: moved.filter((i) => figure[i].kind !== "absent").map((i) => [i, figure[i]]) };
    this.joints.remember();
    this.canvas.setPointerCapture(event.pointerId);
  }

  move(event) {
    const place = this.at(event);
    if (!this.drag) return this.point(this.nearest(place, true));
    swallow(event);
    for (const [index, { x, y }] of this.drag.start) {
      this.joints.place(index, x + place.x - this.drag.from.x, y + place.y - this.drag.from.y);
    }
    this.draw();
  }

  release(event) {
    if (!this.drag) return;
    swallow(event);
    this.drag = null;
    this.commit();
  }

  wheel(event) {
    if (!event.shiftKey) return;
    swallow(event);
    const factor = Math.exp(-(event.deltaY || event.deltaX) / 1000);
    const { x, y } = this.at(event);
    this.change(() => {
      this.joints.figure(...this.size).forEach((joint, i) => {
        if (joint.kind !== "absent") this.joints.place(i, x + (joint.x - x) * factor, y + (joint.y - y) * factor);
      });
    });
  }

  key(event) {
    const letter = (event.ctrlKey || event.metaKey) && event.key.toLowerCase();
    if (letter !== "z" && letter !== "y") return;
    swallow(event);
    this.step(letter === "y" || event.shiftKey ? "redo" : "undo");
  }

  step(direction) {
    if (this.joints[direction]()) this.commit();
  }

  change(edit) {
    this.joints.remember();
    edit();
    this.commit();
  }

  commit() {
    this.keys.focus({ preventScroll: true });
    this.changed();
    this.draw();
  }

  point(joint) {
    if (joint === this.hover) return;
    this.hover = joint;
    this.draw();
  }

  // --- drawing

  draw() {
    const { joints } = this;
    this.undoButton.disabled = !joints.past.length;
    this.redoButton.disabled = !joints.future.length;
    this.parts.forEach((part) => part.setAttribute("aria-pressed", joints.absent.has(part.textContent)));
    this.hint.textContent = this.hover >= 0 ? joints.spec.joints[this.hover] : HINT;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (!width || !height) return;
    const sharp = Math.max(window.devicePixelRatio || 1, 2);
    Object.assign(this.canvas, { width: width * sharp, height: height * sharp });
    const pen = this.canvas.getContext("2d");
    pen.scale(sharp, sharp);
    const frame = this.frame();
    if (this.picture) pen.drawImage(this.picture, frame.x, frame.y, frame.width, frame.height);
    else placeholder(pen, frame, this.wanted ? "loading the picture" : "connect a Load Image node to see the picture");
    const figure = this.shown().map((joint) => {
      return { ...joint, x: frame.x + joint.x * frame.width, y: frame.y + joint.y * frame.height };
    });
    joints.spec.sticks.forEach(([a, b], i) => stick(pen, figure[a], figure[b], joints.spec.colours[i]));
    figure.forEach((joint, i) => dot(pen, joint, joints.spec.colours[i], i === this.hover));
  }
}

function stick(pen, a, b, colour) {
  if (a.kind === "absent" || b.kind === "absent") return;
  const guessed = a.kind === "guessed" || b.kind === "guessed";
  pen.save();
  Object.assign(pen, { strokeStyle: colour, lineWidth: guessed ? 2 : 4, globalAlpha: guessed ? 0.6 : 0.85 });
  pen.setLineDash(guessed ? [5, 4] : []);
  pen.beginPath();
  pen.moveTo(a.x, a.y);
  pen.lineTo(b.x, b.y);
  pen.stroke();
  pen.restore();
}

function dot(pen, { x, y, kind }, colour, hovered) {
  pen.save();
  const radius = hovered ? 7 : 5;
  Object.assign(pen, { strokeStyle: kind === "guessed" ? colour : "#fff", fillStyle: colour, lineWidth: 1.5 });
  pen.beginPath();
  if (kind === "absent") {
    Object.assign(pen, { strokeStyle: "#ff6a60", globalAlpha: hovered ? 1 : 0.5 });
    pen.moveTo(x - 4, y - 4);
    pen.lineTo(x + 4, y + 4);
    pen.moveTo(x + 4, y - 4);
    pen.lineTo(x - 4, y + 4);
  } else {
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    if (kind === "placed") pen.fill();
  }
  pen.stroke();
  pen.restore();
}

function placeholder(pen, frame, text) {
  Object.assign(pen, { fillStyle: "#22262d", font: "12px sans-serif", textAlign: "center" });
  pen.fillRect(frame.x, frame.y, frame.width, frame.height);
  pen.fillStyle = "#8f96a3";
  pen.fillText(text, frame.x + frame.width / 2, frame.y + 18);
}

function button(text, press) {
  const made = document.createElement("button");
  made.textContent = text;
  made.addEventListener("click", press);
  made.addEventListener("pointerdown", (event) => event.stopPropagation());
  return made;
}

function bar(...children) {
  const made = document.createElement("div");
  made.className = "bar";
  made.append(...children);
  return made;
}

function swallow(event) {
  event.preventDefault();
  event.stopPropagation();
}

function createWidget(node, name, definition) {
  const [, options] = definition;
  const view = new JointsCanvas(node, options.figure, () => {
    widget.callback?.(widget.value);
    app.graph?.setDirtyCanvas(true, true);
  });
  const widget = node.addDOMWidget(name, WIDGET, view.root, {
    getValue: () => view.joints.text,
    setValue: (text) => {
      view.joints.text = text;
      view.draw();
    },
    getMinHeight: () => 400,
    hideOnZoom: false,
  });
  widget.animatexCanvas = view;
  const { onRemove } = widget;
  widget.onRemove = function (...given) {
    view.remove();
    return onRemove?.apply(this, given);
  };
  const { onExecuted } = node;
  node.onExecuted = function (output, ...more) {
    view.ran(output);
    return onExecuted?.call(this, output, ...more);
  };
  return { widget, minWidth: 420, minHeight: 640 };
}

app.registerExtension({
  name: "AnimateX.ManualPose",
  init() {
    const style = document.createElement("style");
    style.textContent = STYLE;
    document.head.append(style);
  },
  getCustomWidgets: () => ({ [WIDGET]: createWidget }),
});
