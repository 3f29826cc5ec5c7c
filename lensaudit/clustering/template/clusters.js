"use strict";
(() => {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const form = document.getElementById("marks");
  const count = document.getElementById("count");
  const clusters = form.querySelectorAll("fieldset").length;

  const marked = () =>
    Object.fromEntries([...new FormData(form)].map(([number, mark]) => [number, Number(mark)]));

  const tell = (also = "") => {
    count.textContent = `${Object.keys(marked()).length} of ${clusters} marked${also}`;
  };

  form.addEventListener("change", () => tell());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = JSON.stringify({ clusters: facts.clusters, marks: marked() }, null, 2) + "\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = facts.file;
    link.click();
    URL.revokeObjectURL(link.href);
    tell(`; ${facts.file} saved`);
  });
  tell();
})();
