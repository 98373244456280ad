"use strict";
// Shows a word's heat map over the large photograph: on hover, on focus, pinned by a click, or one after another.
for (const card of document.querySelectorAll(".card")) {
  const thumbs = [...card.querySelectorAll(".thumb")];
  if (!thumbs.length) continue;
  const heat = card.querySelector(".heat"), now = card.querySelector(".now"), play = card.querySelector(".play");
  const spoken = [...card.querySelectorAll(".word")];
  let pinned = -1, timer = 0;
  const show = (place) => {
    heat.hidden = now.hidden = place < 0;
    if (place >= 0) {
      heat.src = thumbs[place].querySelector(".glow").getAttribute("href");
      now.textContent = spoken[place].textContent;
    }
    thumbs.forEach((thumb, n) => thumb.classList.toggle("on", n === place));
    spoken.forEach((word, n) => word.classList.toggle("on", n === place));
  };
  const pin = (place) => {
    pinned = place;
    thumbs.forEach((thumb, n) => thumb.setAttribute("aria-pressed", String(n === place)));
    show(place);
  };
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Watch it look"; };
  play.hidden = false;
  play.addEventListener("click", () => {
    if (timer) { stop(); pin(-1); return; }
    let place = 0;
    pin(-1); show(0);
    play.textContent = "Stop";
    timer = setInterval(() => { if (++place < thumbs.length) show(place); else { stop(); show(-1); } }, 750);
  });
  for (const [place, parts] of thumbs.map((thumb, n) => [n, [thumb, spoken[n]]])) {
    for (const part of parts) {
      part.addEventListener("pointerenter", (event) => { if (!timer && event.pointerType === "mouse") show(place); });
      part.addEventListener("pointerleave", () => { if (!timer) show(pinned); });
      part.addEventListener("click", () => { if (timer) stop(); pin(pinned === place ? -1 : place); });
    }
    parts[0].addEventListener("focus", () => { if (!timer && parts[0].matches(":focus-visible")) show(place); });
    parts[0].addEventListener("blur", () => { if (!timer) show(pinned); });
  }
}
