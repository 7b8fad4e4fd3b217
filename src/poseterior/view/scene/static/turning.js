// How the eye is moved: by dragging, the wheel and keys.
function turn(yaw, pitch) {
  cancelAnimationFrame(turning);
  eye.yaw += yaw;
  eye.pitch = Math.min(Math.max(eye.pitch + pitch, -30), 89.9);
  press("views", "view", "");
  redraw();
}

function zoom(factor) {
  eye.zoom = Math.min(Math.max(eye.zoom * factor, 0.4), 8);
  redraw();
}

function watchEye(canvas) {
  let last = null, moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    last = [event.clientX, event.clientY];
    moved = 0;
    canvas.dataset.dragged = "no";
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last || !event.buttons) return;
    const dx = event.clientX - last[0], dy = event.clientY - last[1];
    moved += Math.abs(dx) + Math.abs(dy);
    if (moved < 5) return;
    canvas.dataset.dragged = "yes";
    canvas.classList.add("turning");
    last = [event.clientX, event.clientY];
    turn(-dx * 0.45, dy * 0.3);
  });
  for (const name of ["pointerup", "pointercancel"])
    canvas.addEventListener(name, () => {
      last = null;
      canvas.classList.remove("turning");
    });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !wideScreen()) return; // where the page scrolls, it may
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * 0.0015));
  }, { passive: false });
  canvas.addEventListener("dblclick", () => lookFrom("turned", redraw));
  canvas.addEventListener("keydown", (event) => {
    const turns = { ArrowLeft: [8, 0], ArrowRight: [-8, 0], ArrowUp: [0, 6], ArrowDown: [0, -6] }[event.key];
    if (turns) turn(...turns);
    else if (event.key === "+" || event.key === "=") zoom(1.15);
    else if (event.key === "-") zoom(1 / 1.15);
    else if (event.key === "0") lookFrom("turned", redraw);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}
