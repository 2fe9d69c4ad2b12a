"""WebSocket of the sample service: `/ws` echoes what it gets, `/ws-page` shows it live in a browser."""

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse

from apps.common.machine import Machine, machines_passed

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>WebSocket through the mesh</title>
<link rel="icon" href="data:,">
<style>
  * { box-sizing: border-box; }
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }
  h1 { line-height: 1.2; }
  form { display: flex; gap: .5rem; }
  input, button { font: inherit; padding: .25rem .5rem; }
  input { flex: 1; min-width: 0; }
  #log { font: .875rem/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
  #log { border: 1px solid #8888; padding: 1rem; min-height: 8rem; }
</style>
<h1>WebSocket through the mesh</h1>
<p role="status">State: <strong id="state">connecting</strong></p>
<form id="form"><input id="text" value="HELO" aria-label="message" autocomplete="off"> <button>Send</button></form>
<p id="log" role="log"></p>
<script>
  const show = (text) => { document.getElementById("log").textContent += text + "\\n"; };
  const state = (text) => { document.getElementById("state").textContent = text; };
  const url = new URL("ws", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  let wait = 500;
  let socket;
  function connect() {
    socket = new WebSocket(url);
    socket.onopen = () => { wait = 500; state("open"); };
    socket.onmessage = (event) => show("← " + event.data);
    socket.onclose = (event) => {
      show("× closed (" + event.code + ")");
      state("connecting again");
      setTimeout(connect, wait);
      wait = Math.min(wait * 2, 10000);
    };
  }
  document.getElementById("form").onsubmit = (event) => {
    event.preventDefault();
    if (socket.readyState !== WebSocket.OPEN) return;
    const text = document.getElementById("text").value;
    show("→ " + text);
    socket.send(text);
  };
  connect();
</script>
</html>
"""


def router(machine: Machine) -> APIRouter:
    """Both endpoints, for the app of one machine."""
    routes = APIRouter()

    @routes.websocket("/ws")
    async def echo(socket: WebSocket) -> None:
        """First says who answers, then echoes until the client goes."""
        await socket.accept()
        passed = " > ".join(machines_passed(socket.headers))
        try:
            await socket.send_text(f"{machine.service} {machine.instance_id} at {machine.address}, via {passed}")
            while True:
                await socket.send_text(f"[ws] {await socket.receive_text()}")
        except WebSocketDisconnect:
            return

    @routes.get("/ws-page")
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE)

    return routes
