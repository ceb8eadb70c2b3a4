(() => {
  "use strict";
  // Folded tables print, too.
  const folded = [...document.querySelectorAll("details.folded")];
  let wasOpen = [];
  addEventListener("beforeprint", () => {
    wasOpen = folded.map((one) => one.open);
    folded.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((one, place) => { one.open = wasOpen[place]; }));

  const table = document.getElementById("ranked");
  if (!table) return;
  const get = (id) => document.getElementById(id);
  const rows = [...table.tBodies].map((body, place) => {
    const head = body.querySelector("tr.head"), detail = body.querySelector("tr.detail");
    const cells = {};
    for (const cell of head.children) cells[cell.dataset.key] = cell.dataset.value ?? cell.textContent.trim();
    return { body, detail, cells, place, text: body.textContent.toLowerCase().replace(/\s+/g, " ") };
  });

  const open = (row, wanted) => {
    row.detail.hidden = !wanted;
    row.button.setAttribute("aria-expanded", String(wanted));
  };
  rows.forEach((row, place) => {
    const opener = row.body.querySelector(".opener");
    row.button = document.createElement("button");
    row.button.type = "button";
    row.detail.id = `detail-${place + 1}`;
    row.button.setAttribute("aria-controls", row.detail.id);
    row.button.append(...opener.childNodes);
    opener.append(row.button);
    row.button.addEventListener("click", () => open(row, row.detail.hidden));
    open(row, false);
  });

  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const order = (key, type, descending) => {
    const sign = descending ? -1 : 1;
    const compare = type === "number"
      ? (a, b) => {
        const [left, right] = [Number(a.cells[key]), Number(b.cells[key])];
        if (Number.isNaN(left) || Number.isNaN(right)) return Number.isNaN(left) - Number.isNaN(right);
        return sign * (left - right);
      }
      : (a, b) => sign * collator.compare(a.cells[key], b.cells[key]);
    rows.sort((a, b) => compare(a, b) || a.place - b.place);
    table.append(...rows.map((row) => row.body));
    for (const heading of headings) heading.removeAttribute("aria-sort");
    const heading = headings.find((one) => one.dataset.key === key);
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  };
  const headings = [...table.tHead.rows[0].cells];
  for (const heading of headings) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const now = heading.getAttribute("aria-sort");
      // The highest scores first, and all else from its beginning.
      const descending = now ? now === "ascending" : heading.dataset.key === "score";
      order(heading.dataset.key, heading.dataset.type, descending);
    });
  }
  get("order").addEventListener("change", (event) => {
    const heading = headings.find((one) => one.dataset.key === event.target.value);
    order(heading.dataset.key, heading.dataset.type, false);
  });

  const search = get("search"), filter = get("filter");
  const fits = (row, wanted) => {
    if (wanted === "flagged") return row.body.dataset.flagged === "1";
    if (wanted.startsWith("pattern-")) return row.body.dataset.pattern === wanted.slice(8);
    return !wanted || row.body.dataset.label === wanted;
  };
  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const shown = fits(row, filter.value) && words.every((word) => row.text.includes(word));
      row.body.hidden = !shown;
      count += shown;
    }
    get("count").textContent = `${count} of ${rows.length} shown`;
    get("nothing").hidden = count > 0;
  };
  search.addEventListener("input", show);
  filter.addEventListener("change", show);
  const unfold = get("unfold");
  unfold.addEventListener("click", () => {
    const wanted = unfold.textContent === "Open all";
    rows.forEach((row) => open(row, wanted));
    unfold.textContent = wanted ? "Close all" : "Open all";
  });
  document.querySelector(".controls").hidden = false;
  show();
})();
