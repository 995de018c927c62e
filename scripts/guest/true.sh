#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Shows that a guest boots to user space.
echo "guest is up"
