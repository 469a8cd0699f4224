import { invalidate } from '../api/query'
import { toast, toastProblem } from '../components/dialog'

// A change, what is said of it, and what is read anew after it.
export async function change(what: () => Promise<unknown>, done: string, reads: string): Promise<void> {
  try {
    await what()
    toast(done)
  } catch (why) {
    toastProblem(why)
  }
  invalidate(reads)
}
