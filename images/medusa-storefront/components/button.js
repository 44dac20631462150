"use client"
import { useFormStatus } from "react-dom"

// Says that it works on it, and cannot be pressed twice meanwhile.
export default function Button({ children, busy, ...rest }) {
  const { pending } = useFormStatus()
  return (
    <button aria-disabled={pending} onClick={(event) => pending && event.preventDefault()} {...rest}>
      {pending && busy ? busy : children}
    </button>
  )
}
