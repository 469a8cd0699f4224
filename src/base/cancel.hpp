// CancelToken: one-way, one-time notice that nobody wants the result any more (the caller left, the deadline passed,
// the hedge lost). Single-threaded: a source, its tokens and its hooks live on one loop.
//
// Ownership: a source and a hook are separate resources that never move; either may die first, also inside a callback
// of `cancel()` (a callback usually resumes the coroutine that owns its hook, and may unwind the owner of the source).
// Neither allocates. Attaching and detaching are O(1).
#pragma once
#include <cassert>

namespace ballast {

class CancelSource;

// An intrusive registration: `callback(context)` runs once, inside `cancel()`, on the loop. Deregisters on destruction.
class CancelHook {
 public:
  using Callback = void (*)(void* context);
  CancelHook() = default;
  CancelHook(const CancelHook&) = delete;
  CancelHook& operator=(const CancelHook&) = delete;
  ~CancelHook() { detach(); }
  // Registers, after dropping an earlier registration. Runs the callback at once, inside `attach`, if the source is already
  // cancelled: an awaiter that must not be resumed inside its own await_suspend checks `cancelled()` first. Null never cancels.
  void attach(CancelSource* source, Callback callback, void* context);
  // Idempotent. After it returns the callback will not run.
  void detach();
  bool attached() const { return source_ != nullptr; }

 private:
  friend class CancelSource;
  CancelSource* source_ = nullptr;
  CancelHook* next_ = nullptr;
  CancelHook* prev_ = nullptr;
  Callback callback_ = nullptr;
  void* context_ = nullptr;
};

class CancelSource {
 public:
  CancelSource() = default;
  CancelSource(const CancelSource&) = delete;
  CancelSource& operator=(const CancelSource&) = delete;
  // Detaches what is left without calling it: a source that dies uncancelled means "will never be cancelled".
  ~CancelSource() {
    while (first_) first_->detach();
    if (destroyed_) *destroyed_ = true;
  }
  bool cancelled() const { return cancelled_; }
  // Runs every hook once, in order of attachment. Idempotent, also when called again from a hook. A callback may attach
  // hooks (they run at once), detach or destroy any hook, and destroy this source: the hooks left then do not run.
  void cancel() {
    if (cancelled_) return;
    cancelled_ = true;
    bool destroyed = false;
    destroyed_ = &destroyed;
    while (first_) {
      CancelHook* h = first_;
      const auto callback = h->callback_;
      const auto context = h->context_;
      h->detach();
      callback(context);
      if (destroyed) return;
    }
    destroyed_ = nullptr;
  }

 private:
  friend class CancelHook;
  CancelHook* first_ = nullptr;
  CancelHook* last_ = nullptr;
  bool* destroyed_ = nullptr;  // set while `cancel` runs
  bool cancelled_ = false;
};

// How a callee receives it: a borrowed pointer that may be null ("never").
using CancelToken = CancelSource*;

inline void CancelHook::attach(CancelSource* source, Callback callback, void* context) {
  detach();
  if (!source) return;
  if (source->cancelled_) { callback(context); return; }
  source_ = source;
  callback_ = callback;
  context_ = context;
  prev_ = source->last_;
  next_ = nullptr;
  (prev_ ? prev_->next_ : source->first_) = this;
  source->last_ = this;
}

inline void CancelHook::detach() {
  if (!source_) return;
  (prev_ ? prev_->next_ : source_->first_) = next_;
  (next_ ? next_->prev_ : source_->last_) = prev_;
  source_ = nullptr;
  next_ = prev_ = nullptr;
}

// A source of its own that is also cancelled when `parent` (which may be null) is: a deadline or a hedge inside a call.
class ChildCancelSource : public CancelSource {
 public:
  explicit ChildCancelSource(CancelToken parent) {
    hook_.attach(parent, [](void* self) { static_cast<ChildCancelSource*>(self)->cancel(); }, this);
  }

 private:
  CancelHook hook_;
};

}  // namespace ballast
