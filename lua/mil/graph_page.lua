-- SPDX-License-Identifier: MIT
-- mil.graph_page: the page around a graph's picture, @TITLE@ and @SVG@ to be filled in. Wheel or + and - zoom, dragging
-- moves, the field finds nodes by any of their text (Enter: the next one).

return [==[
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>@TITLE@</title>
<style>
  html, body { margin: 0; height: 100%; overflow: hidden; font: 14px sans-serif; background: #fff; }
  #bar { position: fixed; z-index: 1; top: 8px; left: 8px; padding: 6px 8px; background: #ffffffe0; border: 1px solid #bbb; border-radius: 6px; }
  #bar input { width: 16em; }
  #view { width: 100%; height: 100%; cursor: grab; }
  #view.moving { cursor: grabbing; }
  svg { width: 100%; height: 100%; }
  .found > path, .found > polygon, .found > ellipse { stroke: #d02020; stroke-width: 3; }
  .now > path, .now > polygon, .now > ellipse { fill: #ffef80; }
</style>
</head>
<body>
<div id="bar"><input id="find" type="search" placeholder="find an op, a name, a type"> <span id="count"></span>
  <button id="closer">+</button> <button id="farther">&minus;</button> <button id="whole">all of it</button></div>
<div id="view">
@SVG@
</div>
<script>
"use strict";
const view = document.getElementById("view"), svg = view.querySelector("svg");
const field = document.getElementById("find"), count = document.getElementById("count");
const all = svg.viewBox.baseVal, whole = { x: all.x, y: all.y, width: all.width, height: all.height };
let box = { ...whole };
svg.removeAttribute("width");
svg.removeAttribute("height");

function show() { svg.setAttribute("viewBox", [box.x, box.y, box.width, box.height].join(" ")); }

// How much of the drawing a pixel is.
function scale() {
  const area = svg.getBoundingClientRect();
  return Math.max(box.width / area.width, box.height / area.height);
}

// The place of the drawing that stands below a pixel stays there.
function zoom(by, clientX, clientY) {
  const area = svg.getBoundingClientRect(), s = scale();
  const x = box.x + box.width / 2 + (clientX - area.left - area.width / 2) * s;
  const y = box.y + box.height / 2 + (clientY - area.top - area.height / 2) * s;
  box = { x: x - (x - box.x) * by, y: y - (y - box.y) * by, width: box.width * by, height: box.height * by };
  show();
}

function zoomMiddle(by) {
  const area = svg.getBoundingClientRect();
  zoom(by, area.left + area.width / 2, area.top + area.height / 2);
}

view.addEventListener("wheel", event => {
  event.preventDefault();
  zoom(Math.exp(event.deltaY * 0.0015), event.clientX, event.clientY);
}, { passive: false });

let last = null;
view.addEventListener("pointerdown", event => {
  last = event;
  view.setPointerCapture(event.pointerId);
  view.classList.add("moving");
});
view.addEventListener("pointermove", event => {
  if (!last) return;
  const s = scale();
  box.x -= (event.clientX - last.clientX) * s;
  box.y -= (event.clientY - last.clientY) * s;
  last = event;
  show();
});
for (const end of ["pointerup", "pointercancel"])
  view.addEventListener(end, () => { last = null; view.classList.remove("moving"); });

const nodes = [...svg.querySelectorAll("g.node")].map(element => {
  const texts = [...element.querySelectorAll("text")].map(text => text.textContent);
  return { element, text: texts.join(" ").toLowerCase() };
});
let found = [], now = -1;

function mark() {
  for (const node of nodes) node.element.classList.remove("found", "now");
  for (const node of found) node.element.classList.add("found");
  count.textContent = field.value === "" ? "" : found.length ? (now + 1) + " of " + found.length : "none";
}

function go(step) {
  if (found.length === 0) return;
  now = (now + step + found.length) % found.length;
  mark();
  const element = found[now].element, at = element.getBBox(), to = element.getCTM(), here = svg.getCTM().inverse();
  element.classList.add("now");
  const middle = new DOMPoint(at.x + at.width / 2, at.y + at.height / 2).matrixTransform(to).matrixTransform(here);
  const width = Math.min(box.width, Math.max(at.width * 8, 600)), height = width * box.height / box.width;
  box = { x: middle.x - width / 2, y: middle.y - height / 2, width, height };
  show();
}

field.addEventListener("input", () => {
  const words = field.value.toLowerCase().split(/\s+/).filter(word => word !== "");
  found = words.length ? nodes.filter(node => words.every(word => node.text.includes(word))) : [];
  now = -1;
  mark();
});
field.addEventListener("keydown", event => { if (event.key === "Enter") go(event.shiftKey ? -1 : 1); });
document.addEventListener("keydown", event => {
  if (event.target === field) return;
  if (event.key === "+" || event.key === "=") zoomMiddle(0.8);
  if (event.key === "-") zoomMiddle(1.25);
  if (event.key === "/") { event.preventDefault(); field.focus(); }
});
document.getElementById("closer").onclick = () => zoomMiddle(0.8);
document.getElementById("farther").onclick = () => zoomMiddle(1.25);
document.getElementById("whole").onclick = () => { box = { ...whole }; show(); };
</script>
</body>
</html>
]==]
