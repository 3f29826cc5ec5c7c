"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const was = head.getAttribute("aria-sort");
      const turned = { ascending: "descending", descending: "ascending" };
      const order = turned[was] || head.dataset.first;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const key = (row) => row.cells[column].dataset.value;
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === ""); // what was not measured stays below
        const numbers = [Number(x), Number(y)];
        const known = numbers.every((number) => !Number.isNaN(number));
        return sign * (known ? numbers[0] - numbers[1] : x.localeCompare(y));
      });
      table.tBodies[0].append(...rows);
    });
  });
}
