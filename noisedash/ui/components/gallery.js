function newCell() {
  const cell = document.createElement("button");
  cell.type = "button";
  cell.className = "cell";
  const image = document.createElement("img");
  image.loading = "lazy";
  image.alt = "";
  cell.append(image, document.createElement("span"));
  return cell;
}

/** Cells are reused from one drawing to the next, so that pictures do not flicker. */
export default function (component) {
  const { data, parentElement: root, setTriggerValue } = component;
  const gallery = root.querySelector(".gallery");
  while (gallery.children.length > data.cells.length) gallery.lastChild.remove();
  data.cells.forEach((wanted, index) => {
    const cell = gallery.children[index] ?? gallery.appendChild(newCell());
    cell.onclick = () => setTriggerValue("picked", wanted.row);
    cell.setAttribute("aria-pressed", String(wanted.row === data.chosen));
    cell.setAttribute("aria-label", wanted.name);
    cell.title = wanted.name;
    const image = cell.querySelector("img");
    if (image.getAttribute("src") !== wanted.url) image.src = wanted.url;
    cell.querySelector("span").textContent = wanted.caption;
  });
}
