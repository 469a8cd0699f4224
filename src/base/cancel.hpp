// CancelToken: one-way, one-time notice that nobody wants the result any more (the caller left, the deadline passed,
// the hedge lost). Single-threaded: a source and its tokens live on one loop.
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
  // Runs the callback at once if the source is already cancelled. A null source never cancels.
  void attach(CancelSource* source, Callback callback, void* context);
  void detach();

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
  ~CancelSource() { while (first_) first_->detach(); }
  bool cancelled() const { return cancelled_; }
  // Runs every hook once, in order of attachment. Idempotent. Hooks may attach and detach meanwhile.
  void cancel() {
    if (cancelled_) return;
    cancelled_ = true;
    while (first_) {
      CancelHook* h = first_;
      h->detach();
      h->callback_(h->context_);
    }
  }

 private:
  friend class CancelHook;
  CancelHook* first_ = nullptr;
  CancelHook* last_ = nullptr;
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

}  // namespace ballast
