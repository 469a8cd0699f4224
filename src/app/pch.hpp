// Headers that nearly every command needs: the command line's library and the whole house are dear to read; built once for app/.
#pragma once
#include <CLI/CLI.hpp>

#include "app/acts.hpp"
#include "base/pch.hpp"
