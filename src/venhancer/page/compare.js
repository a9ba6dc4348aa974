// Before and after in one clip, the input above the result: both halves of what is drawn are always the same frame.
function compare(figure) {
  const find = (name) => figure.querySelector(name);
  const [video, canvas, split, time] = ["video", "canvas", ".ve-split", ".ve-time"].map(find);
  const [play, zoom, number] = [".ve-play", ".ve-zoom", ".ve-number"].map(find);
  const context = canvas.getContext("2d");
  let rate = 1, frames = 1, frame = 0, centre = [0.5, 0.5];

  const draw = () => {
    if (video.readyState < 2) return;
    const width = video.videoWidth, height = video.videoHeight / 2, scale = Number(zoom.value);
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    figure.style.setProperty("--shape", width / height);
    const [w, h] = [width / scale, height / scale];
    const x = Math.min(Math.max(centre[0] * width - w / 2, 0), width - w);
    const y = Math.min(Math.max(centre[1] * height - h / 2, 0), height - h);
    const share = split.value / split.max, line = Math.round(share * width);
    context.imageSmoothingEnabled = scale === 1;
    context.drawImage(video, x, y, w, h, 0, 0, width, height);
    if (line < width) context.drawImage(video, x + w * line / width, height + y, w - w * line / width, h, line, 0, width - line, height);
    context.fillStyle = "#fff";
    context.fillRect(line - 1, 0, 2, height);
    number.value = `frame ${frame + 1} of ${frames}`;
    time.value = frame;
    figure.dataset.frame = frame;
  };
  const seek = (to) => {
    frame = (to + frames) % frames;
    video.currentTime = (frame + 0.5) / rate;
  };
  const pause = () => { video.pause(); play.textContent = "Play"; };
  const follow = (_, seen) => {
    frame = Math.min(Math.max(Math.round(seen.mediaTime * rate), 0), frames - 1);
    draw();
    video.requestVideoFrameCallback(follow);
  };
  const grab = (event) => {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    if (zoom.value !== "1" && event.shiftKey) centre = [x, y];
    else split.value = Math.round(x * split.max);
    draw();
  };

  video.addEventListener("loadedmetadata", () => {
    rate = Number(figure.dataset.rate);
    frames = Math.max(1, Math.round(video.duration * rate));
    time.max = frames - 1;
    seek(0);
  });
  video.addEventListener("seeked", draw);
  video.requestVideoFrameCallback(follow);
  for (const input of [split, zoom]) input.addEventListener("input", draw);
  time.addEventListener("input", () => { pause(); seek(Number(time.value)); });
  find(".ve-back").addEventListener("click", () => { pause(); seek(frame - 1); });
  find(".ve-next").addEventListener("click", () => { pause(); seek(frame + 1); });
  play.addEventListener("click", () => {
    if (!video.paused) return pause();
    video.play();
    play.textContent = "Pause";
  });
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); grab(event); });
  canvas.addEventListener("pointermove", (event) => { if (event.buttons) grab(event); });
  canvas.addEventListener("dblclick", (event) => {
    const box = canvas.getBoundingClientRect();
    centre = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    zoom.value = zoom.value === "1" ? "4" : "1";
    draw();
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step || zoom.value === "1") return;
    event.preventDefault();
    const reach = 0.5 / zoom.value;
    centre = centre.map((value, axis) => Math.min(Math.max(value + step[axis] * reach / 4, reach), 1 - reach));
    draw();
  });
  if (video.readyState >= 1) video.dispatchEvent(new Event("loadedmetadata"));
}

// The page changes what is there into what comes next: a figure may stay and show another job.
const known = new WeakSet();
const prepare = () => element.querySelectorAll(".ve-compare").forEach((figure) => {
  if (known.has(figure)) return figure.querySelector("video").dispatchEvent(new Event("seeked"));
  known.add(figure);
  compare(figure);
});
prepare();
watch("value", () => requestAnimationFrame(prepare));
