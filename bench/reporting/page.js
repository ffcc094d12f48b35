"use strict";
const $ = (id) => document.getElementById(id);
const number = (text) => (/^[<+-]?\d/.test(text) ? parseFloat(text.replace(/[<,]/g, "")) : NaN);

// A click on a column's head sorts each group by it: numbers largest first, words from A to Z; then the other way.
for (const button of document.querySelectorAll("th button")) {
  button.onclick = () => {
    const head = button.parentElement, column = head.cellIndex;
    const cells = [...head.closest("table").rows].map((row) => row.cells[column]?.textContent.trim() ?? "");
    const first = cells.some((text) => !isNaN(number(text))) ? "descending" : "ascending";
    const down = head.getAttribute("aria-sort") === first ? first === "ascending" : first === "descending";
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    for (const body of head.closest("table").tBodies) {
      const rows = [...body.rows].filter((row) => row.className !== "group");
      const texts = new Map(rows.map((row) => [row, row.cells[column].textContent.trim()]));
      const order = (a, b) => {
        const [x, y] = [number(texts.get(a)), number(texts.get(b))];
        if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1; // what is missing comes last, either way
        const less = isNaN(x) ? texts.get(a).localeCompare(texts.get(b)) : x - y;
        return down ? -less : less;
      };
      body.append(...rows.sort(order));
    }
  };
}

// A cell's details stand beside it while it is pointed at, tapped or in focus. The tab key stops once
// at a table's cells; arrow keys go from one to another.
function close() {
  document.querySelector(".more.open")?.classList.remove("open");
}

function open(event) {
  close();
  event.target.closest("td")?.querySelector(".more")?.classList.add("open");
  place();
}

function place() {
  const more = document.querySelector(".more.open");
  if (!more) return;
  const box = more.parentElement.getBoundingClientRect(), middle = box.left + (box.width - more.offsetWidth) / 2;
  more.style.left = Math.max(4, Math.min(middle, innerWidth - more.offsetWidth - 4)) + "px";
  const above = box.top - more.offsetHeight - 2;
  more.style.top = (above > 0 ? above : box.bottom + 2) + "px";
}

const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
for (const table of document.querySelectorAll("table:has(td[tabindex])")) {
  table.querySelector("td").tabIndex = 0;
  for (const kind of ["pointerover", "focusin"]) table.addEventListener(kind, open);
  for (const kind of ["pointerleave", "focusout"]) table.addEventListener(kind, close);
  table.onkeydown = (event) => {
    const cell = event.target, step = steps[event.key];
    if (!step || cell.tagName !== "TD") return;
    const rows = [...table.querySelectorAll("tbody tr:not(.group)")];
    const next = rows[rows.indexOf(cell.parentElement) + step[0]]?.cells[cell.cellIndex + step[1]];
    if (next?.tagName !== "TD") return;
    event.preventDefault();
    [cell.tabIndex, next.tabIndex] = [-1, 0];
    next.focus();
  };
}
addEventListener("scroll", place, { capture: true, passive: true });
addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });

// On paper everything is unfolded.
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details:not([open])")) part.open = part.dataset.folded = true;
});
addEventListener("afterprint", () => {
  for (const part of document.querySelectorAll("details[data-folded]")) part.open = false;
});

for (const link of document.querySelectorAll("a.svg")) {
  link.onclick = () => { link.href = link.closest("figure").querySelector("img").src; };
}

// The score viewer: one run's histogram with a threshold, and its most telling images.
const runs = JSON.parse($("runs").textContent);
const sum = (values) => values.reduce((a, b) => a + b, 0);
const percent = (share) => (100 * share).toFixed(1) + " %";
let run;

function fill(select, values) {
  const before = select.value;
  select.replaceChildren(...values.map((value) => new Option(value, value)));
  if (values.includes(before)) select.value = before;
}

function choose() {
  fill($("class"), runs.filter((r) => r.model === $("model").value).map((r) => r.class));
  run = runs.find((r) => r.model === $("model").value && r.class === $("class").value);
  for (const kind of ["normal", "abnormal"]) {
    const all = sum(run[kind]), top = Math.max(...["normal", "abnormal"].map((k) => Math.max(...run[k]) / sum(run[k])));
    const bar = (count, i) => `M${i} 100v${((-96 * count) / all / top).toFixed(2)}h1V100z`;
    $(kind).setAttribute("d", run[kind].map(bar).join(""));
  }
  $("seed").textContent = `seed ${run.seed}, AUROC ${run.auroc.toFixed(3)}`;
  const alarms = (bin) => sum(run.normal.slice(bin)) / sum(run.normal);
  const few = run.normal.findIndex((_, bin) => alarms(bin) <= 0.05); // a common place to start from
  $("slider").value = few < 0 ? run.normal.length : few;
  images();
  move();
}

function move() {
  const bin = Number($("slider").value), at = run.low + ((run.high - run.low) * bin) / run.normal.length;
  const hits = sum(run.abnormal.slice(bin)), alarms = sum(run.normal.slice(bin));
  const [recall, false_alarms] = [hits / sum(run.abnormal), alarms / sum(run.normal)];
  $("threshold").setAttribute("transform", `translate(${bin})`);
  const from = bin < run.normal.length ? `From score ${at.toPrecision(3)} on` : "Above all scores";
  $("slider").setAttribute("aria-valuetext", from);
  $("readout").textContent = `${from}: ${percent(recall)} of the abnormal images are found ` +
    `(${hits}), ${percent(false_alarms)} of the normal ones are false alarms (${alarms}); precision ` +
    `${hits + alarms ? percent(hits / (hits + alarms)) : "–"}.`;
}

function images() {
  const box = $("gallery"), saved = run.gallery;
  if (!box) return; // no run has images
  box.replaceChildren();
  $("no_images").hidden = Boolean(saved);
  if (!saved) return;
  const groups = Object.entries(saved.groups), count = sum(groups.map(([, scores]) => scores.length));
  let place = 0;
  for (const [name, scores] of groups) {
    const head = document.createElement("h3"), group = document.createElement("div");
    head.textContent = name;
    group.className = "group-of-images";
    for (const score of scores) {
      const figure = document.createElement("figure"), tiles = document.createElement("div");
      const caption = document.createElement("figcaption");
      const x = count > 1 ? (100 * place) / (count - 1) : 0, size = `${100 * count}% ${saved.rebuilt ? 300 : 100}%`;
      for (const y of saved.rebuilt ? [0, 50, 100] : [0]) { // image, reconstruction, heat map
        const tile = document.createElement("i");
        tile.style.aspectRatio = saved.aspect;
        tile.style.backgroundImage = `url(${saved.sheet})`;
        tile.style.backgroundPosition = `${x}% ${y}%`;
        tile.style.backgroundSize = size;
        tiles.append(tile);
      }
      tiles.className = "tiles";
      tiles.role = "img";
      tiles.ariaLabel = saved.rebuilt ? "image, reconstruction, heat map" : "image";
      caption.textContent = score.toPrecision(3);
      figure.append(tiles, caption);
      group.append(figure);
      place++;
    }
    if (scores.length) box.append(head, group);
  }
}

if (runs.length) {
  fill($("model"), [...new Set(runs.map((r) => r.model))]);
  $("model").onchange = $("class").onchange = choose;
  $("slider").oninput = move;
  choose();
}
