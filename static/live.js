// Puts new events on top of the log while the switch is on. The rows are those
// of the server: it sends one of each kind in a template, and only text is
// written into a copy. showLocal, leave and leaveIfOver are those of app.js.

const bar = document.querySelector('.live')
const [button, words] = bar.children
const samples = document.getElementById('live-rows').content
const cut = document.querySelector('.live-cut')

const shortest = 1_000
const longest = 30_000
const mostRows = Math.max(200, document.querySelectorAll('#main tbody tr').length) // who asked for more keeps them
const tryAgainLater = 1013 // close codes of the server
const sessionOver = 4401

let last = Number(bar.dataset.newest) // the event behind which to go on
let wait = shortest
let news = 0
let waiting = []
let socket, retry, drawing, telling

// write changes words only where they differ: a screen reader reads each change
// out.
function write(text) {
  if (words.textContent !== text) words.textContent = text
}

function summary() {
  if (news === 0) return 'New events appear on top.'
  return news === 1 ? '1 new event.' : `${news} new events.`
}

// tell waits a little, so that a screen reader hears of many events at once.
function tell() {
  telling ??= setTimeout(() => {
    telling = undefined
    if (socket?.readyState === WebSocket.OPEN) write(summary())
  }, 1_000)
}

// matches applies the filters of the page, which the server has brought into the
// form that events have.
function matches(event) {
  const { eventType, severity, success, email, ip, userId } = bar.dataset
  const wanted = [[eventType, event.event_type], [severity, event.severity], [success, String(event.success)],
    [email, event.email], [ip, event.ip_address], [userId, event.user_id]]
  return wanted.every(([filter, value]) => filter === '' || filter === value)
}

function row(event) {
  const outcome = event.success ? 'success' : 'failure'
  const kinds = Array.from(samples.querySelectorAll('tbody tr'))
  const says = (kind, column, word) => kind.cells[column].textContent.trim() === word
  const kind = kinds.find(kind => says(kind, 2, event.severity) && says(kind, 3, outcome))
  const copy = document.importNode(kind, true)
  const [when, type, , , user, address] = copy.cells
  const time = when.querySelector('time')
  time.dateTime = event.time
  time.title = event.time.replace('T', ' ').replace('Z', ' UTC')
  showLocal(time)
  const link = type.querySelector('a')
  link.href = '/audit/' + event.id
  link.textContent = event.event_type
  if (event.email) user.textContent = event.email // else the dash stays
  if (event.ip_address) address.textContent = event.ip_address
  return copy
}

// body is where the rows are. A list that was empty gets its table with the first.
function body() {
  const empty = document.querySelector('#main .empty-state')
  if (empty) {
    const table = document.importNode(samples.querySelector('table'), true)
    table.tBodies[0].replaceChildren()
    empty.replaceWith(table)
  }
  return document.querySelector('#main tbody')
}

function draw() {
  drawing = undefined
  const rows = body()
  rows.prepend(...waiting.reverse().map(row))
  waiting = []
  while (rows.rows.length > mostRows) {
    rows.lastElementChild.remove()
    // Older goes on from a row that is gone: what lies between would be missed.
    cut.hidden = false
    for (const on of document.querySelectorAll('.pager, .reached')) on.remove()
  }
}

function take(message) {
  const event = JSON.parse(message.data)
  last = event.id
  if (!matches(event)) return
  news++
  waiting.push(event)
  if (waiting.length > mostRows) waiting.shift() // a row that would be removed at once
  drawing ??= setTimeout(draw, 50) // many come at once after a pause
  tell()
}

function later(delay, text) {
  write(text)
  retry = setTimeout(connect, delay)
}

function connect() {
  let opened
  const own = socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/ws/audit?after=${last}`)
  own.addEventListener('open', () => {
    opened = Date.now()
    write(summary())
  })
  own.addEventListener('message', message => {
    if (own === socket) take(message)
  })
  own.addEventListener('close', async ({ code }) => {
    if (own !== socket) return // switched off
    if (code === sessionOver) return leave()
    // A browser does not tell why it was not let in. Where the server answers
    // otherwise, it was too often or too many are here.
    const busy = code === tryAgainLater || !opened && await leaveIfOver()
    if (own !== socket) return
    if (opened && Date.now() - opened > longest) wait = shortest // it had held
    if (busy) return later(longest, 'The server is busy. Trying again in half a minute.')
    later(wait, 'The connection is lost. Trying again.')
    wait = Math.min(wait * 2, longest)
  })
}

button.addEventListener('click', () => {
  const on = button.getAttribute('aria-pressed') === 'false'
  button.setAttribute('aria-pressed', String(on))
  clearTimeout(retry)
  if (on) {
    news = 0
    wait = shortest
    write('Connecting.')
    connect()
  } else {
    const open = socket
    socket = undefined
    open.close()
    write('')
  }
})

bar.hidden = false
