const SVG = "http://www.w3.org/2000/svg";
const STRIP = { height: 64, line: 34, left: 10, right: 10 };

function element(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (parent) parent.appendChild(made);
  return made;
}

const inPercent = (share) => `${Number((100 * share).toFixed(1))} %`;

const LAYERS = ["kept", "dropped", "moved", "relabelled", "invented"];

function sign(box, styles) {
  const signs = box.fates.map((fate) => styles[fate].sign).join("");
  return signs ? `${signs} ${box.label}` : box.label;
}

/** One legend that is also the switches: colour, dash, sign and number of each fate. */
function drawLegend(root, data) {
  const layers = root.querySelector(".layers");
  for (const fate of LAYERS) {
    let label = layers.querySelector(`label.${fate}`);
    if (!label) {
      label = layers.appendChild(document.createElement("label"));
      label.className = fate;
      const box = label.appendChild(document.createElement("input"));
      Object.assign(box, { type: "checkbox", checked: true });
      box.dataset.layer = fate;
      box.addEventListener("change", () => hideLayers(root));
      const sample = element("svg", { viewBox: "0 0 38 18", "aria-hidden": "true" }, label);
      element("line", { x1: 4, x2: 34, y1: 9, y2: 9, ...strokeOf(data.styles[fate]) }, sample);
      label.appendChild(document.createElement("span")).dataset.count = fate;
    }
    const number = data.boxes.filter((box) => box.shown && box.fates.includes(fate)).length;
    const mark = data.styles[fate].sign;
    label.querySelector("span").textContent = `${mark ? `${mark} ` : ""}${number} ${fate}`;
  }
  hideLayers(root);
}

function strokeOf(style) {
  return style.dash ? { stroke: style.color, "stroke-dasharray": style.dash } : { stroke: style.color };
}

/** A box is hidden where all its layers are switched off. */
function hideLayers(root) {
  const off = new Set();
  root.querySelectorAll(".layers input").forEach((input) => input.checked || off.add(input.dataset.layer));
  root.querySelectorAll("g.box").forEach((group) => {
    const fates = group.dataset.fates.split(" ");
    group.classList.toggle("off", fates.every((fate) => off.has(fate)));
  });
}

/** Draw picture and boxes; the picture is left alone where only the noise has changed. */
function draw(root, data, view) {
  const picture = root.querySelector(".picture");
  picture.setAttribute("aria-label", data.alt);
  if (view.url !== data.url) {
    view.url = data.url;
    view.box = [0, 0, data.width, data.height];
    const old = picture.querySelector("image");
    if (old) old.remove();
    const image = element("image", { width: data.width, height: data.height, href: data.url });
    image.setAttribute("preserveAspectRatio", "none");
    picture.prepend(image);
  }
  picture.querySelectorAll("g").forEach((group) => group.remove());
  data.boxes.forEach((box, index) => drawBox(picture, data, box, index));
  drawLegend(root, data);
  show(root, view);
}

function drawBox(picture, data, box, index) {
  const fates = box.fates.join(" ");
  const group = element("g", { class: `box ${fates}${box.shown ? "" : " filtered"}` }, picture);
  group.dataset.box = index;
  group.dataset.fates = fates;
  if (box.was_xyxy) drawWhereItWas(group, box);
  const place = { x: box.x, y: box.y, width: box.width, height: box.height };
  element("rect", { ...place, class: "halo" }, group);
  if (box.fates.length === 1) {
    element("rect", { ...place, class: "edge", ...strokeOf(data.styles[box.fates[0]]) }, group);
  } else {
    // Two fates: dashes in turns.
    box.fates.forEach((fate, turn) => {
      const stroke = { stroke: data.styles[fate].color, "stroke-dasharray": "12 12", "stroke-dashoffset": 12 * turn };
      element("rect", { ...place, class: "edge", ...stroke }, group);
    });
  }
  element("text", { x: box.x, y: box.y }, group).textContent =
    box.label === box.was_label ? sign(box, data.styles) : `${sign(box, data.styles)} (${box.was_label})`;
  element("title", {}, group).textContent = box.story;
}

/** The clean place of a box that was moved, and a line from centre to centre. */
function drawWhereItWas(group, box) {
  const [left, top, right, bottom] = box.was_xyxy;
  element("rect", { class: "was", x: left, y: top, width: right - left, height: bottom - top }, group);
  const from = { x1: (left + right) / 2, y1: (top + bottom) / 2 };
  element("line", { class: "shift", ...from, x2: box.x + box.width / 2, y2: box.y + box.height / 2 }, group);
}

/** Apply zoom, and keep the names the same size on the screen at any zoom. */
function show(root, view) {
  const picture = root.querySelector(".picture");
  const [x, y, width, height] = view.box;
  picture.setAttribute("viewBox", `${x} ${y} ${width} ${height}`);
  const bounds = picture.getBoundingClientRect();
  const unit = Math.max(width / Math.max(bounds.width, 1), height / Math.max(bounds.height, 1));
  picture.querySelectorAll("text").forEach((text) => {
    const edge = text.parentNode.querySelector(".edge");
    const top = Number(edge.getAttribute("y"));
    const above = top - 5 * unit >= y + 12 * unit;
    text.setAttribute("font-size", 13 * unit);
    text.setAttribute("stroke-width", 3 * unit);
    const rightmost = x + width - text.getComputedTextLength() - 3 * unit;
    text.setAttribute("x", Math.max(Math.min(Number(edge.getAttribute("x")) + 3 * unit, rightmost), x + 3 * unit));
    text.setAttribute("y", above ? top - 5 * unit : top + 16 * unit);
  });
}

/** The rates on a line: each box stands where it drops out. */
function drawStrip(root, data, light) {
  const strip = root.querySelector(".strip");
  const width = Math.max(strip.getBoundingClientRect().width, 200);
  const at = (rate) => STRIP.left + rate * (width - STRIP.left - STRIP.right);
  strip.replaceChildren();
  strip.setAttribute("viewBox", `0 0 ${width} ${STRIP.height}`);
  const { dropped, kept } = data.styles;
  const gone = { x: at(0), y: 18, width: at(data.rate) - at(0), height: 32, fill: dropped.color };
  element("rect", { class: "gone", ...gone }, strip);
  element("line", { class: "axis", x1: at(0), x2: at(1), y1: STRIP.line, y2: STRIP.line }, strip);
  for (const rate of [0, 0.25, 0.5, 0.75, 1]) {
    const anchor = rate === 0 ? "start" : rate === 1 ? "end" : "middle";
    element("text", { x: at(rate), y: 62, "text-anchor": anchor }, strip).textContent = inPercent(rate);
  }
  const now = { x1: at(data.rate), x2: at(data.rate), y1: 14, y2: 52, stroke: dropped.color };
  element("line", { class: "now", ...now }, strip);
  const side = data.rate > 0.7 ? "end" : "start";
  element("text", { x: at(data.rate), y: 10, "text-anchor": side }, strip).textContent =
    `at ${inPercent(data.rate)} missing these are dropped`;
  data.boxes.forEach((box, index) => {
    if (box.drops_above === null || !box.shown) return;
    const gone = box.fates.includes("dropped");
    const middle = at(box.drops_above);
    const tick = gone
      ? element("rect", { class: "tick", x: middle - 6, y: STRIP.line - 6, width: 12, height: 12 }, strip)
      : element("circle", { class: "tick", cx: middle, cy: STRIP.line, r: 7 }, strip);
    tick.setAttribute("fill", gone ? dropped.color : kept.color);
    tick.dataset.box = index;
    element("title", {}, tick).textContent = box.story;
    tick.addEventListener("pointerenter", () => light(index));
    tick.addEventListener("pointerleave", () => light(null));
  });
}

function zoomBy(root, view, data, factor, centre) {
  const [x, y, width, height] = view.box;
  const next = Math.min(data.width, Math.max(data.width / 20, width * factor));
  const scale = next / width;
  const [cx, cy] = centre ?? [x + width / 2, y + height / 2];
  view.box = [cx - (cx - x) * scale, cy - (cy - y) * scale, next, height * scale];
  keepInside(view, data);
  show(root, view);
}

function keepInside(view, data) {
  const [x, y, width, height] = view.box;
  view.box[0] = Math.min(Math.max(x, 0), data.width - width);
  view.box[1] = Math.min(Math.max(y, 0), data.height - height);
}

function pointIn(picture, event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
  return [point.x, point.y];
}

/** Handlers that live as long as the element; they read the newest data from `view`. */
function listen(root, view) {
  const picture = root.querySelector(".picture");
  const zooms = { in: 0.7, out: 1 / 0.7, reset: Infinity };
  root.querySelectorAll("[data-zoom]").forEach((button) => {
    button.addEventListener("click", () => zoomBy(root, view, view.data, zooms[button.dataset.zoom]));
  });
  const names = root.querySelector("[data-layer=names]");
  names.addEventListener("change", () => picture.classList.toggle("nameless", !names.checked));
  picture.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoomBy(root, view, view.data, event.deltaY > 0 ? 1.25 : 0.8, pointIn(picture, event));
    },
    { passive: false },
  );
  picture.addEventListener("dblclick", (event) => zoomBy(root, view, view.data, 0.5, pointIn(picture, event)));
  let from = null;
  picture.addEventListener("pointerdown", (event) => {
    if (view.box[2] >= view.data.width) return;
    from = pointIn(picture, event);
    picture.setPointerCapture(event.pointerId);
    picture.classList.add("moving");
  });
  picture.addEventListener("pointermove", (event) => {
    if (!from) return;
    const [x, y] = pointIn(picture, event);
    view.box[0] += from[0] - x;
    view.box[1] += from[1] - y;
    keepInside(view, view.data);
    show(root, view);
  });
  const release = () => {
    from = null;
    picture.classList.remove("moving");
  };
  picture.addEventListener("pointerup", release);
  picture.addEventListener("pointercancel", release);
  const light = (index) => {
    root.querySelectorAll(".lit").forEach((lit) => lit.classList.remove("lit"));
    root.querySelectorAll(`[data-box="${index}"]`).forEach((lit) => lit.classList.add("lit"));
    const box = view.data.boxes[index];
    root.querySelector(".hint").textContent = box ? box.story : view.data.hint;
  };
  picture.addEventListener("pointerover", (event) => {
    const group = event.target.closest("g");
    light(group ? Number(group.dataset.box) : null);
  });
  picture.addEventListener("pointerleave", () => light(null));
  view.light = light;
  view.observer = new ResizeObserver(() => {
    show(root, view);
    drawStrip(root, view.data, light);
  });
  view.observer.observe(picture);
}

const views = new WeakMap();

export default function (component) {
  const { data, parentElement: root } = component;
  let view = views.get(root);
  if (!view) {
    view = { data, url: null, box: null };
    views.set(root, view);
    listen(root, view);
  }
  view.data = data;
  draw(root, data, view);
  drawStrip(root, data, view.light);
  root.querySelector(".hint").textContent = data.hint;
}
