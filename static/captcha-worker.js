// Solves a proof of work in the first format of ALTCHA: finds the number that,
// written behind the salt, has the challenge for its SHA-256. It hashes by
// itself, since crypto.subtle, which answers each hash with a promise, is many
// times slower and is not there on plain http.
'use strict'

const fraction = number => (number - Math.floor(number)) * 2 ** 32 | 0

// The constants of FIPS 180-4 §4.2.2 and §5.3.3, from the first 64 primes.
const primes = []
for (let n = 2; primes.length < 64; n++) if (primes.every(p => n % p > 0)) primes.push(n)
const constants = Int32Array.from(primes, p => fraction(Math.cbrt(p)))
const initial = Int32Array.from(primes.slice(0, 8), p => fraction(Math.sqrt(p)))

const schedule = new Int32Array(64)

// compress takes one block of bytes into the state (FIPS 180-4 §6.2.2).
function compress(state, bytes, from) {
  const w = schedule
  for (let i = 0, at = from; i < 16; i++, at += 4) {
    w[i] = bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]
  }
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15], y = w[i - 2]
    const s0 = (x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3
    const s1 = (y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10
    w[i] = w[i - 16] + s0 + w[i - 7] + s1 | 0
  }
  let a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7]
  for (let i = 0; i < 64; i++) {
    const s1 = (e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)
    const t1 = h + s1 + (e & f ^ ~e & g) + constants[i] + w[i] | 0
    const s0 = (a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)
    const t2 = s0 + (a & b ^ a & c ^ b & c) | 0
    h = g
    g = f
    f = e
    e = d + t1 | 0
    d = c
    c = b
    b = a
    a = t1 + t2 | 0
  }
  state[0] += a
  state[1] += b
  state[2] += c
  state[3] += d
  state[4] += e
  state[5] += f
  state[6] += g
  state[7] += h
}

// solve returns the number, or -1 when there is none.
function solve({ salt, challenge, maxnumber }) {
  const wanted = Int32Array.from(challenge.match(/.{8}/g), word => parseInt(word, 16))
  const text = new TextEncoder().encode(salt)
  // The whole blocks of the salt are the same for each number.
  const start = initial.slice()
  const whole = text.length - text.length % 64
  for (let at = 0; at < whole; at += 64) compress(start, text, at)
  const rest = text.subarray(whole)

  const state = new Int32Array(8)
  for (let number = 0; number <= maxnumber; number++) {
    const digits = String(number)
    const length = rest.length + digits.length
    const end = length < 56 ? 64 : 128
    const bytes = length < 56 ? short : long
    bytes.fill(0)
    bytes.set(rest)
    for (let i = 0; i < digits.length; i++) bytes[rest.length + i] = digits.charCodeAt(i)
    bytes[length] = 0x80
    const bits = (whole + length) * 8
    bytes[end - 3] = bits >>> 16
    bytes[end - 2] = bits >>> 8
    bytes[end - 1] = bits
    state.set(start)
    for (let at = 0; at < end; at += 64) compress(state, bytes, at)
    if (state[0] === wanted[0] && state.every((word, i) => word === wanted[i])) return number
  }
  return -1
}

const short = new Uint8Array(64)
const long = new Uint8Array(128)

onmessage = ({ data }) => postMessage(solve(data))
