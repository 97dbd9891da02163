/* Give each cell of a table the name of its column, so that site.css can show it on a phone. */
addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("table.docutils")) {
    const names = [...table.querySelectorAll("thead th")].map((cell) => cell.textContent.trim());
    if (names.length < 2) continue;
    table.classList.add("is-named");
    for (const row of table.querySelectorAll("tbody tr"))
      [...row.cells].forEach((cell, at) => {
        cell.dataset.name = names[at] || names[0];
        cell.classList.toggle("is-empty", cell.textContent.trim() === "");
      });
  }
});
